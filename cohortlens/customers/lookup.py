"""Stored features for analytics: of named customers in one round trip, of all customers chunk by chunk.

Each statement leaves out whom the tenant may not use for the activity, so no answer rests on a consent that
was withdrawn before it was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeAlias, cast
from uuid import UUID

from sqlalchemy import text

from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.sequences import SEQUENCE
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, driver
from cohortlens.core.ids import CustomerId, TenantId
from cohortlens.customers.models import DataState, FeatureRows, TrainingSnapshot, customer_key
from cohortlens.customers.repository import CustomersRepository, feature_rows, stored_values
from cohortlens.customers.service import CustomersService
from cohortlens.customers.usability import (
    Activity,
    ConsentRequired,
    join_by_hash,
    purpose_of,
    usable_among_all,
)

_Name: TypeAlias = UUID | str
_Found: TypeAlias = "dict[_Name, Any]"
_Group: TypeAlias = tuple[TenantId, Activity]
_COUNT_DAYS = """
SELECT count(*) FROM purchase_days d
 WHERE d.tenant_id = app.tid() AND {allowed}
""".format(allowed=usable_among_all("d.customer_id", "CAST(:activity AS text)"))
# The purpose is looked up once, and each customer's consent by two keys: for a thousand customers that costs
# a third of what app.usable_customers does for each.
_BY_NAME = """
SELECT c.id AS customer_id, c.external_id, f.as_of, f.data_revision, f.schema_hash,
       CASE WHEN app.is_usable(h.mechanism, h.min_version, u.state, u.purpose_version, u.expires_at,
                               i.restricted_at, i.objected_at) AND h.key IS NOT NULL
            THEN {values} END AS vector, d.currency
  FROM customers c
  JOIN customer_features f ON f.tenant_id = c.tenant_id AND f.customer_id = c.id
  JOIN customer_data d ON d.tenant_id = c.tenant_id
  LEFT JOIN purpose_heads h ON h.tenant_id = app.tid() AND h.key = ({purpose})
  LEFT JOIN consent_identities i ON i.tenant_id = app.tid() AND i.customer_id = c.id
  LEFT JOIN user_consents u
    ON u.tenant_id = app.tid() AND u.identity_id = i.id AND u.purpose_key = ({purpose})
 WHERE c.tenant_id = app.tid() AND f.schema_hash = $1
   AND (c.id = ANY($2::uuid[]) OR c.external_id = ANY($3::text[]))
"""
_PURPOSE = "SELECT purpose_key FROM purpose_activities WHERE tenant_id = app.tid() AND activity = $4"
_NARROW = _BY_NAME.format(values=stored_values(wide=False), purpose=_PURPOSE)
_WIDE = _BY_NAME.format(values=stored_values(wide=True), purpose=_PURPOSE) + "   AND f.sequence_hash = $5"


class FeatureLookup:
    """Reads features for the analytics slice.

    Args:
        db: Database as the runtime role.
        customers: Answers what the short way cannot: it names what is missing and renews what is out of date.
    """

    def __init__(self, db: Database, customers: CustomersService) -> None:
        self._db = db
        self._customers = customers
        self._reader = _GroupReader(db, _NARROW, (SCHEMA.hash,), ())
        self._wide_reader = _GroupReader(db, _WIDE, (SCHEMA.hash,), (SEQUENCE.hash,))

    async def features_by_name(
        self,
        ctx: RequestContext,
        names: Sequence[str],
        activity: Activity = Activity.PREDICTION,
        *,
        wide: bool = False,
    ) -> FeatureRows:
        """Features of customers named by identifier or ``external:`` identifier, in the order given.

        Those who may not be used are left out and counted.

        Args:
            ctx: The request.
            names: The customers.
            activity: What they are read for.
            wide: Whether their weekly sequences come behind the features.

        Raises:
            CustomerNotFound: The first that does not exist, or belongs to another tenant.
            InvalidArgument: The first that is neither form.
            FailedPrecondition: FEATURES_MISSING: the first without a purchase.
            ConsentRequired: None of them may be used.
        """
        found = await self._short(ctx.tenant_id, names, activity, wide)
        if found is not None:
            return found
        resolved = await self._customers.resolve(ctx, names)
        ids = [customer_id for customer_id, _ in resolved]
        return await self._customers.features(ctx, ids, activity, wide=wide)

    async def features_after(
        self,
        tenant_id: TenantId,
        after: CustomerId | None,
        limit: int,
        activity: Activity = Activity.SEGMENTATION,
        *,
        wide: bool = False,
    ) -> FeatureRows | None:
        """Features of the usable customers behind ``after``, by identifier; None when there are no more."""
        if after is None:
            # The service's own way renews rows of an older schema before it reads the first.
            chunks = self._customers.all_features(tenant_id, limit, activity, wide=wide)
            async with aclosing(cast("AsyncGenerator[FeatureRows, None]", chunks)):
                return await anext(chunks, None)
        async with self._db.tenant_transaction(tenant_id) as tx:
            return await CustomersRepository(tx).features_after(after, limit, activity, wide=wide)

    async def count_customers(self, tenant_id: TenantId, activity: Activity) -> tuple[int, int]:
        """Customers that have features: those who may be used, and those left out."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            return await CustomersRepository(tx).count_features(activity)

    async def data_state(self, tenant_id: TenantId) -> DataState:
        """How much data there is to train on, and of which day."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            state = await CustomersRepository(tx).data_state()
            await join_by_hash(tx)
            counted = await tx.scalar(text(_COUNT_DAYS), {"activity": Activity.TRAINING.value})
        return DataState(int(counted or 0), *(state[1:] if state else (None, 0)))

    async def training_snapshot(self, tenant_id: TenantId) -> TrainingSnapshot:
        """As ``CustomersService.training_snapshot``."""
        return await self._customers.training_snapshot(tenant_id)

    async def _short(
        self, tenant_id: TenantId, names: Sequence[str], activity: Activity, wide: bool
    ) -> FeatureRows | None:
        """One statement; None when a name cannot be read or has no current features."""
        # PostgreSQL cannot hold a NUL in a text.
        keys = [key for name in names if (key := customer_key(name)) is not None and "\0" not in name]
        if len(keys) < len(names) or not keys:
            return None
        rows = await (self._wide_reader if wide else self._reader).read(tenant_id, activity, keys)
        chosen = [row for key in keys if (row := rows.get(key)) is not None]
        if len(chosen) < len(keys):
            return None
        kept = [row for row in chosen if row["vector"] is not None]
        found = feature_rows(kept)
        if found is None:
            async with self._db.tenant_transaction(tenant_id) as tx:
                raise ConsentRequired(activity, await purpose_of(tx, activity))
        left_out = len(chosen) - len(kept)
        return replace(found, excluded_no_consent=left_out) if left_out else found


class _GroupReader:
    """Reads features so that concurrent calls of a tenant for one activity share a statement.

    While one is under way, what arrives waits for the next; so each call still reads what was committed
    before it came.

    Args:
        db: Database as the runtime role.
        statement: Reads rows by identifiers and external identifiers.
        before: Its parameters before these two.
        behind: Its parameters behind them and the activity.
    """

    def __init__(
        self, db: Database, statement: str, before: tuple[str, ...], behind: tuple[str, ...]
    ) -> None:
        self._db = db
        self._statement, self._before, self._behind = statement, before, behind
        self._waiting: dict[_Group, list[tuple[Sequence[_Name], asyncio.Future[_Found]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, tenant_id: TenantId, activity: Activity, keys: Sequence[_Name]) -> _Found:
        """Rows by identifier and by external identifier; those of other calls may be among them.

        Rows of customers who may not be used come without their vector.
        """
        group = tenant_id, activity
        answer: asyncio.Future[_Found] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(group)
        if waiting is not None:
            waiting.append((keys, answer))
        else:
            self._waiting[group] = [(keys, answer)]
            task = asyncio.create_task(self._drain(group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def _drain(self, group: _Group) -> None:
        while calls := self._waiting[group]:
            self._waiting[group] = []
            try:
                found = await self._fetch(group, {key for keys, _ in calls for key in keys})
            except Exception as error:
                for _, answer in calls:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for _, answer in calls:
                    if not answer.done():
                        answer.set_result(found)
        del self._waiting[group]

    async def _fetch(self, group: _Group, keys: set[_Name]) -> _Found:
        tenant_id, activity = group
        ids = [key for key in keys if isinstance(key, UUID)]
        externals = [key for key in keys if isinstance(key, str)]
        async with self._db.tenant_transaction(tenant_id, generic_plans=True) as tx:
            rows = await (await driver(tx)).fetch(
                self._statement, *self._before, ids, externals, activity.value, *self._behind
            )
        found: _Found = {}
        for row in rows:
            found[row["customer_id"]] = found[row["external_id"]] = row
        return found
