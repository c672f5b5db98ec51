"""Who scores the slices of a batch, and who charges them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.usage.charges import Work
from cohortlens.core.ids import TenantId


@dataclass(frozen=True)
class ScoringOrder:
    """Slices to score.

    Attributes:
        tenant_id: Whose batch it is.
        batch_id: The batch; its folder takes the scores.
        input_id: Owner of the input: the batch itself, or an uploaded input.
        artifact_digest: Model version, hex.
        schema_hash: Schema of the rows, hex.
        target: What is predicted, as ``contracts.asks`` writes it.
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
    """Scores slices of an input that lies in the artifact store; ``adapters.batch_scoring``."""

    def score_slices(self, order: ScoringOrder) -> AsyncIterator[ScoredSlice]:
        """Score slices; each is given when its file is there, in any order.

        Closing the iterator ends the work.

        Raises:
            Unavailable: Nobody scores now, or the worker went away (``WORKERS_UNAVAILABLE``).
            FailedPrecondition: The model or the input cannot be used, with the worker's reason.
        """


class SliceCharges(Protocol):
    """Charges slices to the month's quota; ``billing.usage.charges.WorkCharges``."""

    async def charge(self, tenant_id: TenantId, work: Work) -> None:
        """Charge a slice, unless it was charged before.

        Raises:
            QuotaExceeded: The month has too few units left.
        """

    async def note(self, tx: AsyncConnection, tenant_id: TenantId, work: Work, method: str) -> None:
        """Store the usage of a slice in the transaction that says that it is done."""

    async def give_back(self, tenant_id: TenantId, works: Sequence[Work]) -> None:
        """Give back what slices cost that were not done; safe to repeat."""
