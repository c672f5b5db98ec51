"""Who may be used for what, of many customers at once, read from the tables at the moment of the question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.models import ACTIVITIES, Mechanism, field_fault
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, driver
from cohortlens.customers.models import EXTERNAL_PREFIX, customer_key
from cohortlens.customers.repository import CustomersRepository
from cohortlens.customers.usability import consent_version, join_by_hash

CUSTOMERS_MAX = 10_000
"""Customers of one question."""

QUESTIONS_MAX = 16
"""Purposes and activities of one question."""

# What app.is_usable says, of many at once: index by index over the sorted identifiers, since a look-up of
# each costs four times as much. A test holds the three to one another.
_ASKED = """
WITH asked AS MATERIALIZED (
  SELECT a.id::uuid AS id, a.place::integer AS place
    FROM unnest($1::text[]) WITH ORDINALITY AS a (id, place)),
"""
_GIVEN = f"""{_ASKED}
i AS MATERIALIZED (
  SELECT i.id, i.customer_id FROM consent_identities i
   WHERE i.tenant_id = app.tid() AND i.customer_id = ANY($1::text[]::uuid[])
     AND i.restricted_at IS NULL AND i.objected_at IS NULL),
u AS MATERIALIZED (
  SELECT u.identity_id FROM user_consents u
   WHERE u.tenant_id = app.tid() AND u.purpose_key = $2 AND u.identity_id = ANY(ARRAY(SELECT id FROM i))
     AND u.state = 'GIVEN' AND (u.expires_at IS NULL OR u.expires_at > statement_timestamp())
     AND u.purpose_version >= (
       SELECT h.min_version FROM purpose_heads h WHERE h.tenant_id = app.tid() AND h.key = $2))
SELECT array_agg(a.place) FROM asked a JOIN i ON i.customer_id = a.id JOIN u ON u.identity_id = i.id
"""  # noqa: S608 - constants
_NOT_REFUSED = f"""{_ASKED}
c AS MATERIALIZED (
  SELECT c.id FROM customers c WHERE c.tenant_id = app.tid() AND c.id = ANY($1::text[]::uuid[])),
i AS MATERIALIZED (
  SELECT i.id, i.customer_id, i.restricted_at IS NOT NULL OR i.objected_at IS NOT NULL AND $3 AS is_held
    FROM consent_identities i
   WHERE i.tenant_id = app.tid() AND i.customer_id = ANY($1::text[]::uuid[])),
u AS MATERIALIZED (
  SELECT u.identity_id FROM user_consents u
   WHERE u.tenant_id = app.tid() AND u.purpose_key = $2 AND u.identity_id = ANY(ARRAY(SELECT id FROM i))
     AND u.state IN ('WITHDRAWN', 'REFUSED') AND $3)
SELECT array_agg(a.place) FROM asked a JOIN c ON c.id = a.id
 WHERE a.id NOT IN (SELECT i.customer_id FROM i WHERE i.is_held
                    UNION ALL SELECT i.customer_id FROM i JOIN u ON u.identity_id = i.id)
"""  # noqa: S608 - constants
_CANONICAL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COVERED = "SELECT activity, purpose_key FROM purpose_activities WHERE tenant_id = app.tid()"
_MECHANISMS = "SELECT key, mechanism FROM purpose_heads WHERE tenant_id = app.tid()"
_NOBODY = str(UUID(int=0))


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
        async with self._db.tenant_transaction(ctx.tenant_id, generic_plans=True) as tx:
            # Before the states: what they say is then never older than the version.
            version = await consent_version(tx)
            ids = await _identifiers(tx, keys)
            mechanisms = {row.key: row.mechanism for row in await tx.execute(text(_MECHANISMS))}
            covered = {row.activity: row.purpose_key for row in await tx.execute(text(_COVERED))}
            asked = [(one, "") for one in purposes] + [(covered.get(one, ""), one) for one in activities]
            await join_by_hash(tx)
            found: dict[str, bytes] = {}
            for purpose in {purpose for purpose, _ in asked}:
                found[purpose] = await _bitmap(tx, ids, purpose, mechanisms.get(purpose, ""))
        checks = (
            Check(purpose, activity, found[purpose], int.from_bytes(found[purpose], "little").bit_count())
            for purpose, activity in asked
        )
        return Checks(tuple(checks), version)


async def _bitmap(tx: AsyncConnection, ids: Sequence[str], purpose: str, mechanism: str) -> bytes:
    places = None
    if mechanism:
        connection = await driver(tx)
        if mechanism == Mechanism.OPT_IN:
            places = await connection.fetchval(_GIVEN, ids, purpose)
        else:
            asks = mechanism == Mechanism.OPT_OUT
            places = await connection.fetchval(_NOT_REFUSED, ids, purpose, asks)
    allowed = np.zeros(len(ids), np.bool_)
    allowed[np.array(places or [], np.int64) - 1] = True
    return np.packbits(allowed, bitorder="little").tobytes()


async def _identifiers(tx: AsyncConnection, keys: Sequence[UUID | str] | list[str]) -> list[str]:
    if keys and isinstance(keys, _Canonical):
        return keys
    externals = [key for key in keys if isinstance(key, str) and "\0" not in key]
    by_external = await CustomersRepository(tx).by_external_ids(externals) if externals else {}
    return [str(key if isinstance(key, UUID) else by_external.get(key, _NOBODY)) for key in keys]


class _Canonical(list[str]):
    """Identifiers in their canonical form, one for each customer asked about."""


def _keys(customers: Sequence[str]) -> list[UUID | str] | _Canonical:
    if all(map(_CANONICAL.fullmatch, customers)):
        # As they stand: ten thousand identifiers take 15 ms as objects.
        return _Canonical(customers)
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
