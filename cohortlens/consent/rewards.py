"""Rewards as callers see them: balances, lists, the tariff, claims, the token."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.fulfilment.models import Reward, reward_of
from cohortlens.consent.fulfilment.reward_rows import COLUMNS, RewardRows
from cohortlens.consent.models import ConsentRowMissing
from cohortlens.consent.naming import identity_of
from cohortlens.consent.ports import RewardLedger
from cohortlens.consent.tariffs import Tariff, TariffRows, checked
from cohortlens.consent.wallets import Wallet, wallets_of
from cohortlens.consent.web3_models import Balance, Chains, EpochProof, Voucher
from cohortlens.core import clock
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition, InvalidArgument, Unavailable, Violation
from cohortlens.core.tenant_keys import TenantKeys

VOUCHER_LIFE: Final = timedelta(days=7)
STALE_S: Final = 600.0
"""Seconds for which a balance that was read once is shown while its chain does not answer."""
_KEPT = 10_000


class RewardNotClaimable(FailedPrecondition):
    """The reward is paid by us, was paid, or is not owed."""

    reason = "REWARD_NOT_CLAIMABLE"


@dataclass(frozen=True)
class Holding:
    """What a person has on one chain, in micro-tokens."""

    wallet: Wallet
    balance: Balance
    pending_micro: int
    claimable_micro: int


@dataclass(frozen=True)
class Claim:
    """What a holder claims a reward with: a voucher or the proof of an epoch."""

    voucher: Voucher | None = None
    proof: EpochProof | None = None


class Rewards:
    """Use cases of rewards.

    Args:
        db: PostgreSQL.
        keys: The tenants' keys.
        ledger: The sidecar.
        now: The clock.
    """

    def __init__(
        self, db: Database, keys: TenantKeys, ledger: RewardLedger, now: clock.Clock = clock.now
    ) -> None:
        self._db, self._keys, self._ledger, self._now = db, keys, ledger, now
        self._seen: dict[tuple[str, str], tuple[float, Balance]] = {}

    async def get_wallet_balance(self, ctx: RequestContext, customer: str) -> tuple[list[Holding], int]:
        """What a customer has: on each chain, and what is held.

        Raises:
            NotFound: No such customer.
            Unavailable: CHAIN_UNAVAILABLE: a chain does not answer, and has not for 10 minutes.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            identity = await identity_of(tx, ctx.tenant_id, self._keys, customer)
            if identity is None:
                return [], 0
            wallets = await wallets_of(tx, identity)
            open_micro = await _open_micro(tx, identity)
        holdings = []
        for wallet in wallets:
            balance = await self._balance(wallet.chain, wallet.address)
            pending = open_micro.get((wallet.chain, "PENDING"), 0)
            claimable = open_micro.get((wallet.chain, "CLAIMABLE"), 0)
            holdings.append(Holding(wallet, balance, pending, claimable))
        return holdings, open_micro.get(("", "HELD"), 0)

    async def page(self, ctx: RequestContext, customer: str, after: Any, limit: int) -> list[Reward]:
        """Rewards, the newest first; ``after`` is time and identifier of the last one of the page before.

        Raises:
            NotFound: No such customer.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            identity = None
            if customer:
                identity = await identity_of(tx, ctx.tenant_id, self._keys, customer)
                if identity is None:
                    return []
            query = (
                f"SELECT {COLUMNS} FROM rewards"  # noqa: S608 - columns of ours
                " WHERE (CAST(:identity AS uuid) IS NULL OR identity_id = :identity)"
                " AND (CAST(:at AS timestamptz) IS NULL OR (created_at, reward_id) < (:at, :id))"
                " ORDER BY created_at DESC, reward_id DESC LIMIT :limit"
            )
            values = {
                "identity": identity,
                "at": None if after is None else datetime.fromisoformat(after[0]),
                "id": b"" if after is None else bytes.fromhex(after[1]),
                "limit": limit,
            }
            return [reward_of(row) for row in await tx.execute(text(query), values)]

    async def get(self, ctx: RequestContext, reward_id: bytes) -> Reward:
        """One reward.

        Raises:
            NotFound: There is none, or it is another tenant's.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await RewardRows(tx).find(reward_id)
        if found is None:
            raise ConsentRowMissing("reward")
        return found

    async def chains(self) -> Chains:
        """The chains in use."""
        return await self._ledger.chains()

    async def tariff(self, ctx: RequestContext) -> Tariff:
        """The tariff of the caller's tenant."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await TariffRows(tx).read()

    async def set_tariff(self, ctx: RequestContext, tariff: Tariff, expected_version: int) -> Tariff:
        """Put a tariff in place of the one that holds.

        Raises:
            InvalidArgument: REWARD_AMOUNT_INVALID, or FIELD_INVALID where the terms are not confirmed.
            Aborted: ETAG_MISMATCH.
        """
        checked(tariff)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            stored = await TariffRows(tx).write(tariff, expected_version, self._now())
            await RewardRows(tx).look_again()
            await AuditTrail(tx).append(
                ctx,
                "consent.tariff.changed",
                resource="rewardTariff",
                details={
                    "enabled": stored.is_enabled,
                    "terms_version": stored.terms_version,
                    "delivery": stored.delivery,
                    "monthly_budget_micro": str(stored.monthly_budget_micro),
                    "rates": {key: str(rate.amount_micro) for key, rate in stored.rates.items()},
                },
            )
        return stored

    async def claim(self, ctx: RequestContext, reward_id: bytes, deadline: datetime | None) -> Claim:
        """What the holder of a claimable reward sends to the contract.

        Raises:
            NotFound: No such reward.
            FailedPrecondition: REWARD_NOT_CLAIMABLE.
            InvalidArgument: VOUCHER_DEADLINE_INVALID: it is over, or over 7 days ahead.
        """
        reward, now = await self.get(ctx, reward_id), self._now()
        if reward.state != "CLAIMABLE":
            raise RewardNotClaimable(f"the reward is {reward.state}; only a CLAIMABLE one is claimed")
        if reward.delivery == "EPOCH":
            return Claim(proof=await self._ledger.epoch_proof(ctx.tenant_id, reward_id))
        until = deadline or now + VOUCHER_LIFE
        if not now < until <= now + VOUCHER_LIFE:
            fault = "must lie ahead, at most 7 days"
            violations = (Violation("deadline", fault),)
            raise InvalidArgument(
                f"deadline: {fault}", reason="VOUCHER_DEADLINE_INVALID", violations=violations
            )
        return Claim(voucher=await self._ledger.voucher(ctx.tenant_id, reward_id, until))

    async def _balance(self, chain: str, address: str) -> Balance:
        key = (chain, address)
        try:
            balance = await self._ledger.balance(chain, address)
        except Unavailable:
            read_at, seen = self._seen.get(key, (0.0, None))
            if seen is None or time.monotonic() - read_at > STALE_S:
                raise
            return Balance(seen.balance_micro, seen.block_height, seen.as_of, is_stale=True)
        if len(self._seen) >= _KEPT:
            self._seen.clear()
        self._seen[key] = (time.monotonic(), balance)
        return balance


async def _open_micro(tx: AsyncConnection, identity_id: object) -> dict[tuple[str, str], int]:
    rows = await tx.execute(
        text(
            "SELECT coalesce(chain, '') AS chain, CASE WHEN state IN ('HELD', 'CLAIMABLE') THEN state "
            "ELSE 'PENDING' END AS kind, sum(amount_micro) AS micro FROM rewards "
            "WHERE identity_id = :identity AND state NOT IN ('FINAL', 'CLAIMED', 'CANCELLED', 'FAILED') "
            "GROUP BY 1, 2"
        ),
        {"identity": identity_id},
    )
    return {(row.chain, row.kind): int(row.micro) for row in rows}
