"""Reading segmentation runs, their segments and members."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.models import (
    Assignment,
    ResourceMissing,
    RunNotPublished,
    SegmentationRun,
    SegmentProfile,
    WorkState,
)
from cohortlens.analytics.runs import SegmentationRepository
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.ids import CustomerId


class AnalyticsReads:
    """Questions about stored segments.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run(self, ctx: RequestContext, run_id: UUID) -> SegmentationRun:
        """One run.

        Raises:
            ResourceMissing: No such run.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await SegmentationRepository(tx).get(run_id)
        if found is None:
            raise ResourceMissing("run")
        return found

    async def runs(self, ctx: RequestContext, before: UUID | None, limit: int) -> list[SegmentationRun]:
        """Runs older than ``before``, newest first."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await SegmentationRepository(tx).page(before, limit)

    async def segments(
        self, ctx: RequestContext, run_id: UUID | None
    ) -> tuple[SegmentationRun, list[SegmentProfile]]:
        """Segments of a run, or of the published one when None, largest spend first.

        Raises:
            ResourceMissing: No such run.
            RunNotPublished: It has not ended well, or none was ever published.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            repository = SegmentationRepository(tx)
            run = await _complete(repository, run_id)
            return run, await repository.profiles(run.run_id)

    async def members(
        self, ctx: RequestContext, segment_key: str, run_id: UUID | None, after: UUID | None, limit: int
    ) -> tuple[SegmentationRun, list[Assignment]]:
        """Members of a segment behind the customer ``after``; the run too, for the next page.

        Raises:
            ResourceMissing: No such run or segment.
            RunNotPublished: As ``segments``.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            repository = SegmentationRepository(tx)
            run = await _complete(repository, run_id)
            members = await repository.members(run, segment_key, after, limit)
            if not members and after is None:
                keys = {profile.segment_key for profile in await repository.profiles(run.run_id)}
                if segment_key not in keys:
                    raise ResourceMissing("segment")
            return run, members

    async def segment_names(self, ctx: RequestContext, customer_ids: Sequence[CustomerId]) -> dict[UUID, str]:
        """As the function ``segment_names``, in a transaction of its own."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await segment_names(tx, customer_ids)


async def segment_names(tx: AsyncConnection, customer_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Names of the segments of customers in the published run; those without one are left out.

    Args:
        tx: A transaction of the tenant, so that ``customers`` can ask in its own.
        customer_ids: Customers.
    """
    return await SegmentationRepository(tx).names_of(customer_ids) if customer_ids else {}


async def _complete(repository: SegmentationRepository, run_id: UUID | None) -> SegmentationRun:
    run = await repository.get(run_id)
    if run is None:
        raise RunNotPublished if run_id is None else ResourceMissing("run")
    if run.state is not WorkState.SUCCEEDED:
        raise RunNotPublished
    return run
