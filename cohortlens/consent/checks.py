"""Who may be used for what, of many customers at once, read from the tables at the moment of the question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.models import ACTIVITIES, field_fault
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, driver
from cohortlens.customers.models import EXTERNAL_PREFIX, customer_key
from cohortlens.customers.repository import CustomersRepository
from cohortlens.customers.usability import consent_version

CUSTOMERS_MAX = 10_000
"""Customers of one question."""

QUESTIONS_MAX = 16
"""Purposes and activities of one question."""

_ALLOWED = """
SELECT array_agg(asked.place::integer)
  FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (id, place)
  JOIN app.purpose_customers($2) u ON u.customer_id = asked.id
"""
_COVERED = "SELECT activity, purpose_key FROM purpose_activities WHERE tenant_id = app.tid()"
_NOBODY = UUID(int=0)


@dataclass(frozen=True)
class Check:
    """The answer about one purpose.

    Attributes:
        purpose: The purpose; empty for an activity that none covers.
        activity: The activity that was asked about; empty when the purpose itself was.
        allowed: Bit i, the least significant of each byte first, is set when customer i may be used now.
        allowed_count: How many are.
    """

    purpose: str
    activity: str
    allowed: bytes
    allowed_count: int


@dataclass(frozen=True)
class Checks:
    """Answers, in the order of the question.

    Attributes:
        checks: Purposes first, then activities.
        version: Version of the tenant's consents that is surely in them; later changes may be too.
    """

    checks: tuple[Check, ...]
    version: int


class ConsentChecks:
    """Answers ``BatchCheckConsent``.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def check(
        self,
        ctx: RequestContext,
        customers: Sequence[str],
        purposes: Sequence[str],
        activities: Sequence[str],
    ) -> Checks:
        """Who of the customers may be used for each purpose and activity.

        Args:
            ctx: The request.
            customers: 1 to 10,000 customers by identifier or ``external:`` identifier. One that does not
                exist, or was erased, may not be used.
            purposes: Purposes; one that the tenant does not have allows nobody.
            activities: Activities of the product; together with ``purposes`` 1 to 16.

        Raises:
            InvalidArgument: FIELD_INVALID: too many, none, or a name that is no customer or no activity.
        """
        _check(customers, purposes, activities)
        keys = _keys(customers)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            # Before the states: what they say is then never older than the version.
            version = await consent_version(tx)
            ids = await _identifiers(tx, keys)
            covered = {row.activity: row.purpose_key for row in await tx.execute(text(_COVERED))}
            asked = [(one, "") for one in purposes] + [(covered.get(one, ""), one) for one in activities]
            found: dict[str, bytes] = {}
            for purpose in {purpose for purpose, _ in asked}:
                found[purpose] = await _bitmap(tx, ids, purpose)
        checks = (
            Check(purpose, activity, found[purpose], int.from_bytes(found[purpose], "little").bit_count())
            for purpose, activity in asked
        )
        return Checks(tuple(checks), version)


async def _bitmap(tx: AsyncConnection, ids: Sequence[UUID], purpose: str) -> bytes:
    places = await (await driver(tx)).fetchval(_ALLOWED, ids, purpose) if purpose else None
    allowed = np.zeros(len(ids), np.bool_)
    allowed[np.array(places or [], np.int64) - 1] = True
    return np.packbits(allowed, bitorder="little").tobytes()


async def _identifiers(tx: AsyncConnection, keys: Sequence[UUID | str]) -> list[UUID]:
    externals = [key for key in keys if isinstance(key, str) and "\0" not in key]
    by_external = await CustomersRepository(tx).by_external_ids(externals) if externals else {}
    return [key if isinstance(key, UUID) else by_external.get(key, _NOBODY) for key in keys]


def _keys(customers: Sequence[str]) -> list[UUID | str]:
    keys: list[UUID | str] = []
    for place, name in enumerate(customers):
        key = customer_key(name)
        if key is None:
            raise field_fault(
                f"customers[{place}]",
                f"expected a customer identifier, or {EXTERNAL_PREFIX} and the identifier in your own data",
            )
        keys.append(key)
    return keys


def _check(customers: Sequence[str], purposes: Sequence[str], activities: Sequence[str]) -> None:
    if not 1 <= len(customers) <= CUSTOMERS_MAX:
        raise field_fault("customers", f"name 1 to {CUSTOMERS_MAX} customers, not {len(customers)}")
    if not 1 <= len(purposes) + len(activities) <= QUESTIONS_MAX:
        raise field_fault("purposes", f"name 1 to {QUESTIONS_MAX} purposes and activities together")
    for place, activity in enumerate(activities):
        if activity not in ACTIVITIES:
            raise field_fault(f"activities[{place}]", f"is none of {', '.join(sorted(ACTIVITIES))}")
