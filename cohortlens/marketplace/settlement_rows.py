"""The rows of settlements, shares and entries; the only SQL that changes them. Entries are never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.tariffs import MOST_MICRO
from cohortlens.core.db import locked_in_tenant
from cohortlens.core.ids import plain_uuid, uuid7s

TOKEN = "TOKEN"  # noqa: S105 - the currency of rewards
_MOST_ROWS = 5_000


@dataclass(frozen=True)
class Settlement:
    """How far a settlement is; each time is None until its step was done.

    Attributes:
        id: Its identifier.
        agreement_id: What it settles.
        buyer_id: Who bought.
        fee_bps: The platform's part, ten-thousandths.
        contributors: How many share the incentive.
        booked_at: T2, entries.
        owed_at: T3, rewards.
        asked_at: When the credential was first asked for: from then on it may be issued.
        credential_id: The agreement's credential.
        credential_json: Its signed bytes.
        credited_at: T4, credential.
        body: What is pinned, before its signature.
        signed_json: What is pinned.
        cid: Where.
        pinned_at: T5, pin.
        revoked_at: When the credential was revoked.
        last_reason: Why the step at hand failed last.
        created_at: T1, paid and frozen.
    """

    id: UUID
    agreement_id: UUID
    buyer_id: UUID
    fee_bps: int
    contributors: int
    booked_at: datetime | None
    owed_at: datetime | None
    asked_at: datetime | None
    credential_id: UUID | None
    credential_json: bytes | None
    credited_at: datetime | None
    body: bytes | None
    signed_json: bytes | None
    cid: str | None
    pinned_at: datetime | None
    revoked_at: datetime | None
    last_reason: str
    created_at: datetime


@dataclass(frozen=True)
class Account:
    """What came to an account in one currency, and of how many entries it consists."""

    account: str
    currency: str
    amount: int
    entries: int


_SELECT = f"SELECT {', '.join(Settlement.__dataclass_fields__)} FROM market_settlements"  # noqa: S608 - ours


class SettlementRows:
    """Settlements of the transaction's tenant, who is the seller.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def find(self, settlement_id: UUID, *, lock: bool = False) -> Settlement | None:
        """One settlement."""
        end = " FOR UPDATE" if lock else ""
        return await self._one(f"{_SELECT} WHERE tenant_id = app.tid() AND id = :id{end}", settlement_id)

    async def of_agreement(self, agreement_id: UUID) -> Settlement | None:
        """The settlement of an agreement; None before both agreed."""
        return await self._one(f"{_SELECT} WHERE tenant_id = app.tid() AND agreement_id = :id", agreement_id)

    async def start(
        self,
        settlement_id: UUID,
        agreement_id: UUID,
        buyer_id: UUID,
        fee_bps: int,
        shares: Mapping[UUID, int],
    ) -> None:
        """Store a settlement with the share of each contributor, who is frozen by it."""
        await self._tx.execute(
            text(
                "INSERT INTO market_settlements (id, agreement_id, buyer_id, fee_bps, contributors) "
                "VALUES (:id, :agreement, :buyer, :fee, :count)"
            ),
            {
                "id": settlement_id,
                "agreement": agreement_id,
                "buyer": buyer_id,
                "fee": fee_bps,
                "count": len(shares),
            },
        )
        people = list(shares)
        for start in range(0, len(people), _MOST_ROWS):
            part = people[start : start + _MOST_ROWS]
            await self._tx.execute(
                text(
                    "INSERT INTO market_shares (settlement_id, entry_id, identity_id, amount_micro) "
                    "SELECT :id, e, i, a FROM unnest(CAST(:entries AS uuid[]), CAST(:people AS uuid[]), "
                    "CAST(:amounts AS bigint[])) AS t (e, i, a)"
                ),
                {
                    "id": settlement_id,
                    "entries": list(uuid7s(len(part))),
                    "people": part,
                    "amounts": [shares[one] for one in part],
                },
            )

    async def book(self, settlement_id: UUID, entries: Sequence[tuple[UUID, str, str, int]]) -> None:
        """Write entries (identifier, account, currency, amount) and one for each share; once.

        Together they add up to 0 in each currency: PostgreSQL refuses the transaction otherwise.
        """
        for entry_id, account, currency, amount in entries:
            await self._tx.execute(
                text(
                    "INSERT INTO market_entries (id, settlement_id, account, currency, amount) "
                    "VALUES (:id, :settlement, :account, :currency, :amount)"
                ),
                {
                    "id": entry_id,
                    "settlement": settlement_id,
                    "account": account,
                    "currency": currency,
                    "amount": amount,
                },
            )
        await self._tx.execute(
            text(
                "INSERT INTO market_entries (id, settlement_id, account, currency, amount) "
                "SELECT entry_id, settlement_id, 'CONTRIBUTOR', 'TOKEN', amount_micro FROM market_shares "
                "WHERE tenant_id = app.tid() AND settlement_id = :id AND amount_micro > 0"
            ),
            {"id": settlement_id},
        )
        await self.done(settlement_id, "booked_at")

    async def owe(self, settlement_id: UUID, least_micro: int, delivery: str, chain: str) -> list[UUID]:
        """Turn what a contributor has earned, here and before, into one reward, if it is enough to be sent.

        Only those who allow rewards on a public chain; what others earned goes on accruing.

        Returns:
            Identities whose rewards may go out now.
        """
        # Two settlements at once would else both pay what a person earned before.
        await locked_in_tenant(self._tx, "marketplace/shares")
        rows = await self._tx.scalars(
            text(_OWE),
            {
                "id": settlement_id,
                "least": least_micro,
                "most": MOST_MICRO,  # what one reward may be; the rest goes on accruing
                "delivery": delivery,
                "chain": chain,
            },
        )
        people = [plain_uuid(one) for one in rows]
        await self.done(settlement_id, "owed_at")
        return people

    async def done(self, settlement_id: UUID, step: str, **values: Any) -> None:
        """Note that a step was done, with what it made."""
        sets = "".join(f", {name} = :{name}" for name in values)
        await self._tx.execute(
            text(
                f"UPDATE market_settlements SET {step} = clock_timestamp(), attempts = 0, "  # noqa: S608 - our names
                f"last_reason = ''{sets} "
                "WHERE tenant_id = app.tid() AND id = :id"
            ),
            {"id": settlement_id, **values},
        )

    async def keep_body(self, settlement_id: UUID, body: bytes) -> None:
        """Store what is to be pinned before anybody is asked to: a repeat signs the same bytes."""
        await self._tx.execute(
            text(
                "UPDATE market_settlements SET body = coalesce(body, :body) "
                "WHERE tenant_id = app.tid() AND id = :id"
            ),
            {"id": settlement_id, "body": body},
        )

    async def failed(self, settlement_id: UUID, attempts: int, reason: str) -> None:
        """Note why a step failed."""
        await self._tx.execute(
            text(
                "UPDATE market_settlements SET attempts = :attempts, last_reason = :reason "
                "WHERE tenant_id = app.tid() AND id = :id"
            ),
            {"id": settlement_id, "attempts": attempts, "reason": reason},
        )

    async def accounts(self, settlement_id: UUID) -> list[Account]:
        """What came to each account."""
        rows = await self._tx.execute(
            text(
                "SELECT account, currency, sum(amount)::bigint AS amount, count(*) AS entries "
                "FROM market_entries WHERE tenant_id = app.tid() AND settlement_id = :id "
                "GROUP BY 1, 2 ORDER BY 2, 1"
            ),
            {"id": settlement_id},
        )
        return [Account(row.account, row.currency, row.amount, row.entries) for row in rows]

    async def accrued_micro(self, settlement_id: UUID) -> int:
        """Micro-tokens of the settlement that are not yet part of a reward."""
        query = (
            "SELECT coalesce(sum(amount_micro), 0) FROM market_shares "
            "WHERE tenant_id = app.tid() AND settlement_id = :id AND paid_by IS NULL"
        )
        return int(await self._tx.scalar(text(query), {"id": settlement_id}) or 0)

    async def rewards(self, settlement_id: UUID) -> dict[str, int]:
        """How many of its rewards are in each state."""
        rows = await self._tx.execute(
            text(
                "SELECT r.state, count(*) AS found FROM market_shares s "
                "JOIN rewards r ON r.tenant_id = s.tenant_id AND r.kind = 2 AND r.source_id = s.entry_id "
                "WHERE s.tenant_id = app.tid() AND s.settlement_id = :id GROUP BY 1"
            ),
            {"id": settlement_id},
        )
        return {row.state: row.found for row in rows}

    async def _one(self, query: str, identifier: UUID) -> Settlement | None:
        row = (await self._tx.execute(text(query), {"id": identifier})).one_or_none()
        if row is None:
            return None
        values = {name: getattr(row, name) for name in Settlement.__dataclass_fields__}
        for name in ("id", "agreement_id", "buyer_id", "credential_id"):
            values[name] = None if values[name] is None else plain_uuid(values[name])
        return Settlement(**values)


# The identifier of a reward is that of ``consent.fulfilment.models.reward_id_of``; a test compares the two.
_OWE = """
WITH allowed AS (
  SELECT i.id FROM app.usable_customers('rewards.onchain') u
    JOIN consent_identities i ON i.tenant_id = app.tid() AND i.customer_id = u.customer_id
   WHERE i.erased_at IS NULL),
open AS (
  SELECT s.identity_id, s.entry_id, s.settlement_id, s.amount_micro,
         sum(s.amount_micro) OVER (PARTITION BY s.identity_id
                                   ORDER BY (s.settlement_id = :id) DESC, s.entry_id) AS running
    FROM market_shares s JOIN allowed a ON a.id = s.identity_id
    JOIN market_settlements m ON m.tenant_id = s.tenant_id AND m.id = s.settlement_id
   WHERE s.tenant_id = app.tid() AND s.paid_by IS NULL AND m.booked_at IS NOT NULL),
earned AS (
  SELECT identity_id, sum(amount_micro)::bigint AS amount,
         min(entry_id::text) FILTER (WHERE settlement_id = :id)::uuid AS entry
    FROM open WHERE running <= :most
   GROUP BY identity_id HAVING bool_or(settlement_id = :id) AND sum(amount_micro) >= :least),
paid AS (
  UPDATE market_shares s SET paid_by = e.entry FROM earned e JOIN open o ON o.identity_id = e.identity_id
   WHERE s.tenant_id = app.tid() AND s.entry_id = o.entry_id AND o.running <= :most AND s.paid_by IS NULL
  RETURNING 1),
owed AS (
  INSERT INTO rewards (reward_id, kind, source_id, identity_id, purpose_key, preferred_chain, amount_micro,
                       delivery, state, reason)
  SELECT sha256(convert_to('cohortlens.reward.v1', 'UTF8') || uuid_send(app.tid()) || '\\x02'::bytea
                || uuid_send(e.entry)), 2, e.entry, e.identity_id, '', :chain, e.amount, :delivery, 'HELD',
         'WALLET_MISSING' FROM earned e ON CONFLICT DO NOTHING RETURNING identity_id)
SELECT o.identity_id FROM owed o WHERE EXISTS (
  SELECT FROM wallets w
   WHERE w.tenant_id = app.tid() AND w.identity_id = o.identity_id AND w.released_at IS NULL)
"""
