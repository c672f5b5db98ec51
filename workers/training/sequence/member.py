"""The sequence net as a member of the line-up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workers.runtime.lineup import SEQUENCE_FILE
from workers.runtime.members import SEQUENCE_INPUTS, LineupRows, SequenceMember
from workers.runtime.sessions import Session
from workers.training.datasets import Rows
from workers.training.lineup import TARGETS, Parts, View
from workers.training.sequence.export import check_net, net_graph
from workers.training.sequence.fitting import fit_sequence
from workers.training.sequence.nets import SequenceNet

FloatArray = NDArray[np.float64]


class SequenceTrainer:
    """Fits the net; a ``Member`` of the line-up.

    Args:
        cell: ``gru``, ``lstm`` or ``transformer``; its id in the line-up.
        head: How money is learnt: ``tweedie`` or ``lognormal``.
    """

    def __init__(self, cell: str, head: str = "tweedie") -> None:
        self.id = cell
        self._head = head

    def fit(self, view: View, seed: int) -> FittedSequence:
        """See ``Member``.

        Raises:
            MemberDropped: As ``fit_sequence``.
        """
        return FittedSequence(self.id, fit_sequence(view.rows, self.id, self._head, seed))


class FittedSequence:
    """A fitted net; predicts with its exported graph, as serving does.

    Args:
        cell: Id of the member.
        net: The fitted net.
    """

    targets = TARGETS

    def __init__(self, cell: str, net: SequenceNet) -> None:
        self._net = net
        self._graph = net_graph(net)
        self.member = SequenceMember(cell, Session(self._graph, SEQUENCE_INPUTS))
        self._asked: tuple[Rows, LineupRows] | None = None

    def predict(self, target: str, rows: Rows) -> FloatArray:
        """See ``Fitted``.

        Raises:
            ValueError: The rows have no sequences.
        """
        # One pass gives all targets, which are asked for one after the other.
        if self._asked is None or self._asked[0] is not rows:
            self._asked = (rows, LineupRows(rows.features, rows.sequence))
        return self.member.predict(target, self._asked[1])

    def export(self, probes: Rows) -> Parts:
        """See ``Fitted``.

        Raises:
            TrainingFault: ``PARITY_FAILED``.
        """
        return Parts(files={SEQUENCE_FILE: self._graph}, parity=check_net(self._graph, self._net, probes))
