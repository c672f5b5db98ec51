"""Who scores the slices of a batch; implemented by ``adapters/batch_scoring.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True)
class ScoringOrder:
    """Slices to score.

    Attributes:
        tenant_id: Whose batch it is.
        batch_id: The batch; its folder takes the scores.
        input_id: Owner of the input: the batch itself, or an uploaded input.
        artifact_digest: Model version, hex.
        schema_hash: Schema of the rows, hex.
        target: ``purchases`` or ``spend``.
        horizon_days: Days to look ahead; set in every row.
        slices: Row groups of the input that are wanted.
    """

    tenant_id: UUID
    batch_id: UUID
    input_id: UUID
    artifact_digest: str
    schema_hash: str
    target: str
    horizon_days: int
    slices: Sequence[int]


@dataclass(frozen=True)
class ScoredSlice:
    """A slice whose scores lie in the batch's folder.

    Attributes:
        slice: Row group of the input.
        rows: Rows in it.
        sha256: Digest of the file of scores, hex.
        cpu_s: CPU seconds spent.
    """

    slice: int
    rows: int
    sha256: str
    cpu_s: float


class BatchScorer(Protocol):
    """Scores slices of an input that lies in the artifact store."""

    def score_slices(self, order: ScoringOrder) -> AsyncIterator[ScoredSlice]:
        """Score slices; each is given when its file is there, in any order.

        Closing the iterator ends the work.

        Raises:
            Unavailable: Nobody scores now, or the worker went away (``WORKERS_UNAVAILABLE``).
            FailedPrecondition: The model or the input cannot be used, with the worker's reason.
        """
