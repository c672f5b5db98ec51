"""How customers moved between the segments of two runs; keys are inherited, so an equal key means: stayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.models import ResourceMissing, RunNotPublished, SegmentationRun, WorkState
from cohortlens.analytics.runs import SegmentationRepository
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.customers.usability import Activity, join_by_hash, usable_among_all

# Counted anew, so of those alone who allow it now.
_MOVES = """
WITH base AS (
  SELECT s.customer_id, s.segment_key FROM segments s
  WHERE s.tenant_id = app.tid() AND s.created_at = :base_at AND s.run_id = :base AND {allowed}
), later AS (
  SELECT s.customer_id, s.segment_key FROM segments s
  WHERE s.tenant_id = app.tid() AND s.created_at = :later_at AND s.run_id = :later AND {allowed}
)
SELECT base.segment_key AS base_key, later.segment_key AS later_key, count(*) AS customers
FROM base FULL JOIN later USING (customer_id)
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
""".format(allowed=usable_among_all("s.customer_id", "CAST(:activity AS text)"))  # noqa: S608 - our names
_BEFORE = """
SELECT id FROM segmentation_runs
WHERE tenant_id = app.tid() AND state = 'SUCCEEDED' AND id < :id ORDER BY id DESC LIMIT 1
"""


@dataclass(frozen=True)
class Movement:
    """Customers that went from one segment to one other.

    Attributes:
        base_key: Segment in the base run; empty for customers who were not in it.
        later_key: Segment in the later run; empty for customers who are not in it any more.
        customers: How many they are.
    """

    base_key: str
    later_key: str
    customers: int


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        base: The run compared with.
        later: The run that is compared.
        names: Name of each segment by key, of the later run where both have it.
        movements: From segment to segment, the largest first; no pair stands twice.
    """

    base: SegmentationRun
    later: SegmentationRun
    names: dict[str, str]
    movements: tuple[Movement, ...]

    @property
    def stayed_ratio(self) -> float:
        """Share of the customers of both runs who are in the segment of the same key; 0 without any."""
        both = [one for one in self.movements if one.base_key and one.later_key]
        stayed = sum(one.customers for one in both if one.base_key == one.later_key)
        return stayed / total if (total := sum(one.customers for one in both)) else 0.0

    @property
    def adjusted_rand_index(self) -> float:
        """How alike the two groupings of the common customers are: 1 equal, about 0 by chance.

        Source: Hubert, Arabie, Journal of Classification 2 (1985), formula 5.
        """
        both = [one for one in self.movements if one.base_key and one.later_key]
        return adjusted_rand_index([(one.base_key, one.later_key, one.customers) for one in both])


class SegmentMoves:
    """Comparisons of runs.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def compare(self, ctx: RequestContext, base_id: UUID | None, later_id: UUID | None) -> Comparison:
        """Compare two runs.

        Args:
            ctx: The request.
            base_id: The earlier run; the one that ended well before the other when None.
            later_id: The run to compare; the published one when None.

        Raises:
            ResourceMissing: No such run.
            RunNotPublished: One of them has not ended well, or there is no run before.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            runs = SegmentationRepository(tx)
            later = await _ended_well(runs, later_id)
            base = await _ended_well(runs, base_id or await _run_before(tx, later), "base_run")
            names: dict[str, str] = {}
            for run in (base, later):
                names |= {profile.segment_key: profile.name for profile in await runs.profiles(run.run_id)}
            await join_by_hash(tx)
            rows = await tx.execute(
                text(_MOVES),
                {
                    "base": base.run_id,
                    "base_at": base.created_at,
                    "later": later.run_id,
                    "later_at": later.created_at,
                    "activity": Activity.SEGMENTATION.value,
                },
            )
            moves = tuple(Movement(row.base_key or "", row.later_key or "", row.customers) for row in rows)
        return Comparison(base, later, names, moves)


def adjusted_rand_index(pairs: Sequence[tuple[str, str, int]]) -> float:
    """The adjusted Rand index of a contingency table.

    Args:
        pairs: Group in the one grouping, group in the other, members, >= 0; no pair twice.

    Returns:
        1 for equal groupings (also when both have one group, or nobody is in them), about 0 by chance.
    """
    rows: dict[str, int] = {}
    columns: dict[str, int] = {}
    for row, column, members in pairs:
        rows[row] = rows.get(row, 0) + members
        columns[column] = columns.get(column, 0) + members
    joint = sum(_pairs(members) for _, _, members in pairs)
    by_row, by_column = sum(map(_pairs, rows.values())), sum(map(_pairs, columns.values()))
    every = _pairs(sum(rows.values()))
    expected = by_row * by_column / every if every else 0.0
    most = (by_row + by_column) / 2
    return (joint - expected) / (most - expected) if most != expected else 1.0


def _pairs(members: int) -> int:
    return members * (members - 1) // 2


async def _run_before(tx: AsyncConnection, run: SegmentationRun) -> UUID:
    found: UUID | None = await tx.scalar(text(_BEFORE), {"id": run.run_id})
    if found is None:
        raise RunNotPublished
    return found


async def _ended_well(
    runs: SegmentationRepository, run_id: UUID | None, field: str = "run"
) -> SegmentationRun:
    run = await runs.get(run_id)
    if run is None:
        raise RunNotPublished if run_id is None else ResourceMissing(field)
    if run.state is not WorkState.SUCCEEDED:
        raise RunNotPublished
    return run
