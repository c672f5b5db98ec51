"""The stored keys of requests: taken by one attempt at a time, given back, or kept with the sealed answer.

Two short transactions a keyed request: one takes the key, one stores the answer. The third state, COMMITTED,
is written by the business transaction itself (``core.idempotency``).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.db import Database
from cohortlens.core.idempotency import Claim, KeyScope
from cohortlens.core.ids import plain_uuid, uuid7
from cohortlens.core.tenant_keys import TenantKeys

KEEP_S = 24 * 3600
"""Seconds a key counts, from its first use."""
SEALED_COLUMN = "idempotency_keys.answer_enc"
_PURPOSE = "idempotent-request"
_PURGE_ROWS = 5000

# Whoever gets a row back holds the key: a new or expired one, or one whose holder is overdue.
_TAKE = """
WITH taken AS (
  INSERT INTO idempotency_keys AS k
    (tenant_id, principal, method, key, id, request_bidx, locked_until, expires_at)
  VALUES (app.tid(), :principal, :method, :key, :id, :request, now() + make_interval(secs => :hold_s),
    now() + make_interval(secs => :keep_s))
  ON CONFLICT (tenant_id, principal, method, key) DO UPDATE SET
    id = CASE WHEN k.expires_at <= now() THEN excluded.id ELSE k.id END,
    state = CASE WHEN k.expires_at <= now() THEN 'IN_PROGRESS' ELSE k.state END,
    made = CASE WHEN k.expires_at <= now() THEN '{}' ELSE k.made END,
    body_bidx = CASE WHEN k.expires_at <= now() THEN '' ELSE k.body_bidx END,
    charged_by = CASE WHEN k.expires_at <= now() THEN NULL ELSE k.charged_by END,
    answer_enc = CASE WHEN k.expires_at <= now() THEN NULL ELSE k.answer_enc END,
    created_at = CASE WHEN k.expires_at <= now() THEN now() ELSE k.created_at END,
    expires_at = CASE WHEN k.expires_at <= now() THEN excluded.expires_at ELSE k.expires_at END,
    request_bidx = excluded.request_bidx,
    attempt = k.attempt + 1,
    locked_until = excluded.locked_until
  WHERE k.expires_at <= now()
     OR (k.state <> 'DONE' AND k.locked_until <= now() AND k.request_bidx = excluded.request_bidx)
  RETURNING k.id, k.attempt, k.state, k.made, k.body_bidx, k.charged_by
)
SELECT true AS is_held, id, attempt, state, made, body_bidx, charged_by, NULL::bytea AS request_bidx,
       NULL::bytea AS answer_enc FROM taken
UNION ALL
SELECT false, id, attempt, state, made, body_bidx, charged_by, request_bidx, answer_enc FROM idempotency_keys
 WHERE tenant_id = app.tid() AND principal = :principal AND method = :method AND key = :key
   AND NOT EXISTS (SELECT FROM taken)
"""
_STORE = """
UPDATE idempotency_keys SET state = 'DONE', answer_enc = :answer, body_bidx = :body
 WHERE tenant_id = app.tid() AND principal = :principal AND method = :method AND key = :key AND id = :id
   AND attempt = :attempt AND state <> 'DONE'
"""
# With an effect the key stays, free for a repeat that reads the answer; with a charge it stays too, so that
# the repeat costs nothing, unless the request was wrong and another one may come under its key.
_GIVE_BACK = """
WITH mine AS MATERIALIZED (
  SELECT state = 'IN_PROGRESS' AND (charged_by IS NULL OR :is_wrong) AS goes FROM idempotency_keys
   WHERE tenant_id = app.tid() AND principal = :principal AND method = :method AND key = :key AND id = :id
     AND attempt = :attempt FOR UPDATE
), gone AS (
  DELETE FROM idempotency_keys k USING mine
   WHERE tenant_id = app.tid() AND principal = :principal AND method = :method AND key = :key AND id = :id
     AND attempt = :attempt AND mine.goes
), freed AS (
  UPDATE idempotency_keys k SET locked_until = now() FROM mine
   WHERE tenant_id = app.tid() AND principal = :principal AND method = :method AND key = :key AND id = :id
     AND attempt = :attempt AND state <> 'DONE' AND NOT mine.goes
)
SELECT goes FROM mine
"""
_CHARGE = "SELECT app.idempotency_charge(CAST(:given AS jsonb))"


@dataclass(frozen=True)
class Held:
    """The key is ours.

    Attributes:
        claim: The attempt.
        is_committed: Whether an earlier attempt has had its effect; only its answer is missing.
        body: Keyed hash of the upload that had the effect.
    """

    claim: Claim
    is_committed: bool
    body: bytes


@dataclass(frozen=True)
class Stored:
    """The request was answered before.

    Attributes:
        answer: The answer.
        body: Keyed hash of the upload it was the answer to.
    """

    answer: bytes
    body: bytes


@dataclass(frozen=True)
class Other:
    """The key belongs to another request."""


@dataclass(frozen=True)
class Busy:
    """An attempt is under way."""


class IdempotencyKeys:
    """Keys of all tenants.

    Args:
        db: Database as the role that serves requests.
        tenant_keys: The tenants' keys.
    """

    def __init__(self, db: Database, tenant_keys: TenantKeys) -> None:
        self._db = db
        self._tenant_keys = tenant_keys

    async def take(self, scope: KeyScope, request: bytes, hold_s: float) -> Held | Stored | Other | Busy:
        """Take a key for an attempt, unless another one has it or the request is done.

        Args:
            scope: The key.
            request: The request in canonical form; only a keyed hash of it is stored, since it may hold
                passwords.
            hold_s: Seconds after which a repeat may take over.
        """
        async with self._db.tenant_transaction(scope.tenant_id) as tx:
            fingerprint = hmac.digest(await self._mac_key(tx, scope), request, hashlib.sha256)
            values = {
                **_named(scope),
                "id": uuid7(),
                "request": fingerprint,
                "hold_s": hold_s,
                "keep_s": float(KEEP_S),
            }
            row = (await tx.execute(text(_TAKE), values)).one_or_none()
            if row is None:
                return Busy()  # it was stored after this statement had begun
            if row.is_held:
                is_paid = row.charged_by is not None
                claim = Claim(scope, plain_uuid(row.id), row.attempt, _object(row.made), is_paid=is_paid)
                return Held(claim, row.state == "COMMITTED", bytes(row.body_bidx))
            if not hmac.compare_digest(bytes(row.request_bidx), fingerprint):
                return Other()
            if row.answer_enc is None:
                return Busy()
            sealer = await self._tenant_keys.sealer(tx, scope.tenant_id, SEALED_COLUMN)
            answer = sealer.open(bytes(row.answer_enc), plain_uuid(row.id).bytes)
            return Stored(answer, bytes(row.body_bidx))

    async def store(self, claim: Claim, answer: bytes) -> bool:
        """Keep the answer for repeats; False when a later attempt holds the key."""
        scope = claim.scope
        async with self._settled(claim) as tx:
            sealer = await self._tenant_keys.sealer(tx, scope.tenant_id, SEALED_COLUMN)
            sealed = sealer.seal(answer, claim.id.bytes)
            values = {**_mine(claim), "answer": sealed, "body": claim.body}
            return (await tx.execute(text(_STORE), values)).rowcount == 1

    async def give_back(self, claim: Claim, *, is_wrong: bool = False) -> bool:
        """End an attempt without an answer; False when its effect is there.

        Args:
            claim: The attempt.
            is_wrong: Whether the request can never succeed as it is: another one may have the key.
        """
        async with self._settled(claim) as tx:
            return bool(await tx.scalar(text(_GIVE_BACK), {**_mine(claim), "is_wrong": is_wrong}))

    @asynccontextmanager
    async def _settled(self, claim: Claim) -> AsyncIterator[AsyncConnection]:
        """A transaction in which the attempt pays; what it took goes back when it is another that pays.

        If the transaction fails, what was taken is not told of and stays taken, as if the process had died.
        """
        charge, is_kept = claim.charge, True
        async with self._db.tenant_transaction(claim.scope.tenant_id) as tx:
            if charge is not None:
                is_kept = bool(await tx.scalar(text(_CHARGE), {"given": json.dumps(claim.named())}))
            yield tx
        claim.charge = None
        if charge is not None and not is_kept:
            charge.waive()

    async def upload_hash(self, scope: KeyScope) -> Any:
        """A keyed hash that takes the bytes of an upload as they come."""
        async with self._db.tenant_transaction(scope.tenant_id) as tx:
            return hmac.new(await self._mac_key(tx, scope), digestmod=hashlib.sha256)

    async def _mac_key(self, tx: AsyncConnection, scope: KeyScope) -> bytes:
        return await self._tenant_keys.mac_key(tx, scope.tenant_id, _PURPOSE)


async def purge(db: Database) -> int:
    """Delete the keys of all tenants that count no more; answers how many."""
    gone = 0
    while True:
        async with db.transaction() as tx:
            hit = int(
                await tx.scalar(text("SELECT app.idempotency_purge(:rows)"), {"rows": _PURGE_ROWS}) or 0
            )
        gone += hit
        if hit < _PURGE_ROWS:
            return gone


def _named(scope: KeyScope) -> dict[str, Any]:
    return {"principal": scope.principal, "method": scope.method, "key": scope.key}


def _mine(claim: Claim) -> dict[str, Any]:
    return {**_named(claim.scope), "id": UUID(int=claim.id.int), "attempt": claim.attempt}


def _object(value: Any) -> dict[str, Any]:
    found = json.loads(value) if isinstance(value, str) else value
    return dict(found)
