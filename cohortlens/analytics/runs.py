"""The tables of segmentation: runs, their segments and profiles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.endings import end_cancelled, end_failed
from cohortlens.analytics.models import (
    Assignment,
    SegmentationRun,
    SegmentProfile,
    StoredSegment,
    WorkState,
)
from cohortlens.core.db import driver
from cohortlens.core.ids import CustomerId, SegmentationRunId
from cohortlens.customers.repository import CustomersRepository
from cohortlens.customers.usability import Activity, join_by_hash, usable, usable_among_all

_RUN = """
id, state, progress_ratio, model_version, customers, as_of, currency, current, cursor, error_reason,
error_message, created_at, ended_at, data_revision, restarts, excluded_no_consent
FROM segmentation_runs WHERE tenant_id = app.tid()
"""
_DROP_REFUSED = """
DELETE FROM segments s WHERE s.tenant_id = app.tid() AND s.created_at = :created_at AND s.run_id = :run
  AND NOT {allowed}
""".format(allowed=usable_among_all("s.customer_id", "CAST(:activity AS text)"))
_MEMBERS = """
SELECT s.customer_id, s.external_id, s.segment_key, p.name, s.distance, s.model_version, s.snapshot_id
  FROM segments s JOIN segment_profiles p USING (tenant_id, run_id, segment_key)
 WHERE s.tenant_id = app.tid() AND s.created_at = :created_at AND s.run_id = :run AND s.segment_key = :key
   AND (CAST(:after AS uuid) IS NULL OR s.customer_id > :after) AND {allowed}
 ORDER BY s.customer_id LIMIT :limit
""".format(allowed=usable("s.customer_id", "CAST(:activity AS text)"))
_NAMES = """
SELECT s.customer_id, p.name
  FROM segmentation_runs r
  JOIN segments s ON s.tenant_id = r.tenant_id AND s.created_at = r.created_at AND s.run_id = r.id
  JOIN segment_profiles p
    ON p.tenant_id = s.tenant_id AND p.run_id = s.run_id AND p.segment_key = s.segment_key
 WHERE r.tenant_id = app.tid() AND r.current AND s.customer_id = ANY(CAST(:ids AS uuid[])) AND {allowed}
""".format(allowed=usable("s.customer_id", "CAST(:activity AS text)"))
_INSERT_SEGMENTS = """
INSERT INTO segments (tenant_id, created_at, run_id, customer_id, external_id, segment_key, distance,
  days_since, purchase_days, spend_minor, model_version, features_snapshot, snapshot_id)
SELECT app.tid(), $1::timestamptz, $2::uuid, given.*
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::float8[], $7::float8[],
  $8::int[], $9::bigint[], $10::int[], $11::bytea[], $12::text[]) AS given
ON CONFLICT (tenant_id, created_at, run_id, customer_id) DO NOTHING
"""
_PROFILES = """
WITH members AS (
  SELECT segment_key, count(*) AS size, sum(spend_minor) AS spend,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY days_since) AS since,
    avg(purchase_days) AS days, sum(purchase_days) AS all_days
  FROM segments WHERE tenant_id = app.tid() AND created_at = :created_at AND run_id = :run
  GROUP BY segment_key
)
INSERT INTO segment_profiles (tenant_id, run_id, segment_key, name, sentence, size, share_ratio, spend_minor,
  spend_share_ratio, median_days_since, mean_purchase_days, mean_spend_per_day)
SELECT app.tid(), :run, given.key, given.name, given.sentence, coalesce(size, 0),
  coalesce(size / nullif(sum(size) OVER (), 0), 0), coalesce(spend, 0),
  coalesce(spend / nullif(sum(spend) OVER (), 0), 0), coalesce(since, 0), coalesce(days, 0),
  coalesce(spend / nullif(all_days, 0) / :minor_units, 0)
FROM unnest(CAST(:keys AS text[]), CAST(:names AS text[]), CAST(:sentences AS text[]))
  AS given (key, name, sentence)
LEFT JOIN members ON members.segment_key = given.key
ON CONFLICT (tenant_id, run_id, segment_key) DO NOTHING
"""


class SegmentationRepository:
    """SQL of segmentation runs, their segments and profiles.

    Args:
        tx: A transaction of the tenant.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def insert(self, run_id: UUID, model_version: int, created_at: datetime) -> None:
        """Store a pending run."""
        await self._tx.execute(
            text(
                "INSERT INTO segmentation_runs (tenant_id, id, model_version, created_at) "
                "VALUES (app.tid(), :id, :version, :created_at)"
            ),
            {"id": run_id, "version": model_version, "created_at": created_at},
        )

    async def get(self, run_id: UUID | None, *, lock: bool = False) -> SegmentationRun | None:
        """One run, or the published one when ``run_id`` is None."""
        which = "AND current" if run_id is None else "AND id = :id"
        suffix = "FOR UPDATE" if lock else ""
        arguments = {} if run_id is None else {"id": run_id}
        rows = await self._tx.execute(text(f"SELECT {_RUN} {which} {suffix}"), arguments)
        row = rows.one_or_none()
        return None if row is None else _run(row)

    async def page(self, before: UUID | None, limit: int) -> list[SegmentationRun]:
        """Runs older than ``before``, newest first."""
        rows = await self._tx.execute(
            text(
                f"SELECT {_RUN} AND (CAST(:before AS uuid) IS NULL OR id < :before) "
                "ORDER BY id DESC LIMIT :limit"
            ),
            {"before": before, "limit": limit},
        )
        return [_run(row) for row in rows]

    async def cancel(self, run_id: UUID, at: datetime) -> bool:
        """End a run that is not finished; False when it has ended."""
        return await end_cancelled(self._tx, "segmentation_runs", run_id, at)

    async def restart(self, run: SegmentationRun, data_revision: int) -> None:
        """Drop what a run assigned, so that it begins anew on a later revision of the data."""
        await self.drop_members(run)
        await self._tx.execute(
            text(
                "UPDATE segmentation_runs SET cursor = NULL, customers = 0, progress_ratio = 0, "
                "data_revision = :revision, restarts = restarts + 1 WHERE tenant_id = app.tid() AND id = :id"
            ),
            {"id": run.run_id, "revision": data_revision},
        )

    async def drop_members(self, run: SegmentationRun) -> None:
        """Remove the assignments of a run that will never be published."""
        await self._tx.execute(
            text(
                "DELETE FROM segments WHERE tenant_id = app.tid() AND created_at = :created_at "
                "AND run_id = :run"
            ),
            {"created_at": run.created_at, "run": run.run_id},
        )

    async def advance(
        self,
        run: SegmentationRun,
        rows: Sequence[StoredSegment],
        *,
        total: int,
        as_of: date,
        currency: str,
        data_revision: int,
    ) -> None:
        """Write one chunk and the cursor behind it; a chunk that is written already changes nothing."""
        connection = await driver(self._tx)
        arrays: list[list[Any]] = [list(column) for column in zip(*map(_segment, rows), strict=True)]
        await connection.execute(_INSERT_SEGMENTS, run.created_at, run.run_id, *arrays)
        done = run.customers + len(rows)
        await self._tx.execute(
            text(
                "UPDATE segmentation_runs SET state = 'RUNNING', cursor = :cursor, customers = :done, "
                "as_of = :as_of, currency = :currency, progress_ratio = :ratio, data_revision = :revision "
                "WHERE tenant_id = app.tid() AND id = :id"
            ),
            {
                "id": run.run_id,
                "cursor": rows[-1].assignment.customer_id,
                "done": done,
                "as_of": as_of,
                "currency": currency,
                "ratio": min(1.0, done / max(1, total)),
                "revision": data_revision,
            },
        )

    async def drop_refused(self, run: SegmentationRun) -> None:
        """Take those out of a run who may not be segmented any more, and count whom it leaves out."""
        await join_by_hash(self._tx)
        await self._tx.execute(
            text(_DROP_REFUSED),
            {"created_at": run.created_at, "run": run.run_id, "activity": Activity.SEGMENTATION.value},
        )
        _, excluded = await CustomersRepository(self._tx).count_features(Activity.SEGMENTATION)
        await self._tx.execute(
            text(
                "UPDATE segmentation_runs SET excluded_no_consent = :excluded, customers = "
                "(SELECT count(*) FROM segments s WHERE s.tenant_id = app.tid() "
                "AND s.created_at = :created_at AND s.run_id = :run) "
                "WHERE tenant_id = app.tid() AND id = :run"
            ),
            {"created_at": run.created_at, "run": run.run_id, "excluded": excluded},
        )

    async def publish(
        self,
        run: SegmentationRun,
        segments: Sequence[tuple[str, str, str]],
        *,
        minor_units: int,
        at: datetime,
    ) -> None:
        """Write the profiles, make the run the current one, end it.

        Args:
            run: The run, all of its chunks written.
            segments: Key, name and sentence of each segment.
            minor_units: Minor units of the currency in a major unit.
            at: The time.
        """
        await self._tx.execute(
            text(_PROFILES),
            {
                "run": run.run_id,
                "created_at": run.created_at,
                "minor_units": minor_units,
                "keys": [key for key, _, _ in segments],
                "names": [name for _, name, _ in segments],
                "sentences": [sentence for _, _, sentence in segments],
            },
        )
        # Two statements: the partial unique index is checked row by row.
        await self._tx.execute(
            text("UPDATE segmentation_runs SET current = false WHERE tenant_id = app.tid() AND current")
        )
        await self._tx.execute(
            text(
                "UPDATE segmentation_runs SET current = true, published_at = :at, ended_at = :at, "
                "state = 'SUCCEEDED', progress_ratio = 1 WHERE tenant_id = app.tid() AND id = :id"
            ),
            {"id": run.run_id, "at": at},
        )

    async def fail(self, run_id: UUID, reason: str, message: str, at: datetime) -> None:
        """End a run badly; one that has ended stays as it is."""
        await end_failed(self._tx, "segmentation_runs", run_id, reason, message, at)

    async def profiles(self, run_id: UUID) -> list[SegmentProfile]:
        """Segments of a run, largest spend first."""
        rows = await self._tx.execute(
            text(
                "SELECT segment_key, name, sentence, size, share_ratio, spend_minor, spend_share_ratio, "
                "median_days_since, mean_purchase_days, mean_spend_per_day FROM segment_profiles "
                "WHERE tenant_id = app.tid() AND run_id = :run ORDER BY spend_minor DESC, segment_key"
            ),
            {"run": run_id},
        )
        return [SegmentProfile(*row) for row in rows]

    async def members(
        self, run: SegmentationRun, segment_key: str, after: UUID | None, limit: int
    ) -> list[Assignment]:
        """Members of a segment behind the customer ``after``, by customer identifier.

        Those who may not be segmented any more are left out.
        """
        rows = await self._tx.execute(
            text(_MEMBERS),
            {
                "created_at": run.created_at,
                "run": run.run_id,
                "key": segment_key,
                "after": after,
                "limit": limit,
                "activity": Activity.SEGMENTATION.value,
            },
        )
        return [Assignment(CustomerId(row.customer_id), *row[1:]) for row in rows]

    async def names_of(self, customer_ids: Sequence[UUID]) -> dict[UUID, str]:
        """Segment names of customers in the published run, of those who may be segmented."""
        rows = await self._tx.execute(
            text(_NAMES),
            {"ids": list(customer_ids), "activity": Activity.SEGMENTATION.value},
        )
        return {row.customer_id: row.name for row in rows}


def _segment(row: StoredSegment) -> tuple[Any, ...]:
    one = row.assignment
    return (
        one.customer_id,
        one.external_id,
        one.segment_key,
        one.distance,
        row.days_since,
        row.purchase_days,
        row.spend_minor,
        one.model_version,
        row.features,
        one.snapshot_id,
    )


def _run(row: Any) -> SegmentationRun:
    return SegmentationRun(
        SegmentationRunId(row.id),
        WorkState(row.state),
        row.progress_ratio,
        row.model_version,
        row.customers,
        row.as_of,
        row.currency,
        row.current,
        row.cursor,
        row.error_reason,
        row.error_message,
        row.created_at,
        row.ended_at,
        row.data_revision,
        row.restarts,
        row.excluded_no_consent,
    )
