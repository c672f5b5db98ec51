"""What every member of the line-up is: fitted on a view of the past, asked for predictions of rows.

The backtest fits each member once per fold and the pipeline once more on all data; both see a member through
this protocol alone. What a member stores is what ``workers.runtime.lineup`` loads again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from workers.runtime import members as runtime
from workers.training.datasets import Rows, Snapshot

FloatArray = NDArray[np.float64]

TARGETS = ("purchases", "spend", "churn")
"""Purchase-days, money in major units, and the probability of no purchase, each within the horizon."""


class MemberDropped(Exception):
    """A member cannot be fitted on this view; the others go on without it.

    Args:
        reason: Reason in upper snake case, such as ``NO_REPEAT_DAY``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class View:
    """What a member may look at: the past as it was known at the end of a day.

    Attributes:
        snapshot: Purchase-days known by ``snapshot.as_of``, the day the view is of.
        horizons_days: Horizons to be predicted, ascending.
        rows: Training rows of earlier cuts; every target ends by the day of the view.
        today: One row of each customer seen by that day, ``horizon`` the longest one; its targets are unknown
            and empty.
        kept: What one member has made of the view and another can use.
    """

    snapshot: Snapshot
    horizons_days: tuple[int, ...]
    rows: Rows
    today: Rows
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def day(self) -> int:
        """The day the view is of, days since 1970-01-01."""
        return self.snapshot.as_of


@dataclass(frozen=True)
class Parts:
    """What a fitted member puts into the bundle.

    Attributes:
        files: Bytes by the name that ``workers.runtime.lineup`` looks for.
        btyd: Parameters by id, as ``ModelManifest.btyd`` holds them.
        parity: Largest relative difference between a graph and its source; 0 where nothing was exported.
        notes: Facts for a person, such as a boundary optimum.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    btyd: dict[str, dict[str, float]] = field(default_factory=dict)
    parity: float = 0.0
    notes: tuple[str, ...] = ()


class Fitted(Protocol):
    """A member that has learnt from a view."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets it predicts, of ``TARGETS``."""

    @property
    def member(self) -> runtime.Member:
        """What predicts, of the very class that serves."""

    def export(self, probes: Rows) -> Parts:
        """Files and parameters of the member.

        Args:
            probes: Rows over which a graph must equal its source.

        Raises:
            TrainingFault: ``PARITY_FAILED``.
        """


class Member(Protocol):
    """A model that can take part in the line-up."""

    @property
    def id(self) -> str:
        """Id, such as ``bgnbd``."""

    def fit(self, view: View, seed: int) -> Fitted:
        """Learn from a view; equal views and seeds give equal predictions.

        Raises:
            MemberDropped: The view cannot teach it.
        """
