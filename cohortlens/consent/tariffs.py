"""What a consent is worth in reward tokens: a tenant's tariff and budget, and whether it pays at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.errors import Aborted, InvalidArgument, Violation

MICRO_PER_TOKEN: Final = 1_000_000
MOST_MICRO: Final = 1_000 * MICRO_PER_TOKEN
"""Most that one reward pays, in micro-tokens."""
DEFAULT_BUDGET_MICRO: Final = 100_000 * MICRO_PER_TOKEN
"""Budget of a tenant for a month, in micro-tokens, unless it set another."""
DEFAULT_TARIFF: Mapping[str, int] = {
    "data_sharing": 10 * MICRO_PER_TOKEN,
    "profiling": 2 * MICRO_PER_TOKEN,
    "marketing": 1 * MICRO_PER_TOKEN,
    "rewards": 0,
}
"""Micro-tokens by purpose, where the tenant set nothing; purposes that are not listed pay nothing."""
TERMS_VERSION: Final = "on-chain-1"
"""Version of the text about what stays on a public chain (docs/policies/public-chains.md)."""
DELIVERIES: Final = ("MINT", "VOUCHER", "EPOCH")
CHAINS: Final = ("evm", "solana")


@dataclass(frozen=True)
class Rate:
    """What one purpose pays.

    Attributes:
        amount_micro: Micro-tokens, 0 to ``MOST_MICRO``; 0 pays nothing.
        chain: ``evm`` or ``solana``; empty for the deployment's reward chain.
    """

    amount_micro: int
    chain: str = ""


@dataclass(frozen=True)
class Tariff:
    """How a tenant rewards consents.

    Attributes:
        is_enabled: Whether it does; off until an administrator confirms the text ``TERMS_VERSION``.
        terms_version: Version of the text that was confirmed; empty for none.
        delivery: MINT, VOUCHER or EPOCH.
        monthly_budget_micro: Most that is owed in a calendar month (UTC), in micro-tokens.
        rates: What differs from ``DEFAULT_TARIFF``, by purpose.
        version: Raised by each change; 0 while nothing was ever set.
    """

    is_enabled: bool = False
    terms_version: str = ""
    delivery: str = "MINT"
    monthly_budget_micro: int = DEFAULT_BUDGET_MICRO
    rates: Mapping[str, Rate] = field(default_factory=dict)
    version: int = 0

    def rate(self, purpose_key: str) -> Rate:
        """What a purpose pays."""
        return self.rates.get(purpose_key) or Rate(DEFAULT_TARIFF.get(purpose_key, 0))


@dataclass(frozen=True)
class Earning:
    """What a consent earns.

    Attributes:
        amount_micro: Micro-tokens; 0 for nothing.
        reason: Why nothing, in upper snake case; empty otherwise.
    """

    amount_micro: int
    reason: str = ""


def compute_reward_tokens(purpose_key: str, tariff: Tariff, *, may_reward: bool, was_earned: bool) -> Earning:
    """What a person earns by consenting to a purpose.

    Args:
        purpose_key: The purpose.
        tariff: The tenant's tariff.
        may_reward: Whether the person allows rewards on a public chain.
        was_earned: Whether the purpose was rewarded to this person within the last 365 days, so that nobody
            earns by giving and withdrawing in turns.
    """
    amount = tariff.rate(purpose_key).amount_micro
    if not tariff.is_enabled:
        return Earning(0, "REWARDS_OFF")
    if amount == 0:
        return Earning(0, "REWARD_NONE")
    if not may_reward:
        return Earning(0, "REWARD_NOT_CONSENTED")
    if was_earned:
        return Earning(0, "REWARD_ALREADY_EARNED")
    return Earning(amount)


def checked(tariff: Tariff) -> Tariff:
    """A tariff that may be stored.

    Raises:
        InvalidArgument: REWARD_AMOUNT_INVALID or FIELD_INVALID; names the field.
    """
    for key, rate in tariff.rates.items():
        if not 0 <= rate.amount_micro <= MOST_MICRO:
            raise _invalid(
                f"rates[{key}].amount_micro", f"must be 0 to {MOST_MICRO}", "REWARD_AMOUNT_INVALID"
            )
        if rate.chain and rate.chain not in CHAINS:
            raise _invalid(f"rates[{key}].chain", "must be evm, solana or empty for the deployment's chain")
        if rate.chain == "solana" and tariff.delivery != "MINT":
            raise _invalid("delivery", "must be MINT where a purpose is paid on solana")
    if tariff.delivery not in DELIVERIES:
        raise _invalid("delivery", f"must be one of {', '.join(DELIVERIES)}")
    if tariff.is_enabled and tariff.terms_version != TERMS_VERSION:
        raise _invalid(
            "terms_version",
            f"must be {TERMS_VERSION!r}: read docs/policies/public-chains.md and confirm what stays public",
        )
    return tariff


class TariffRows:
    """The tariff of the transaction's tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def read(self) -> Tariff:
        """The tariff; the product's own, switched off, where none was set."""
        row = (await self._tx.execute(text("SELECT * FROM reward_settings"))).one_or_none()
        if row is None:
            return Tariff()
        rates = await self._tx.execute(
            text("SELECT purpose_key, amount_micro, chain FROM reward_tariffs ORDER BY purpose_key")
        )
        return Tariff(
            is_enabled=row.is_enabled,
            terms_version=row.terms_version or "",
            delivery=row.delivery,
            monthly_budget_micro=row.monthly_budget_micro,
            rates={one.purpose_key: Rate(one.amount_micro, one.chain) for one in rates},
            version=row.version,
        )

    async def write(self, tariff: Tariff, expected_version: int, now: datetime) -> Tariff:
        """Put a tariff in place of the one before.

        Args:
            tariff: The new one; its version is not used.
            expected_version: Version that it is to replace.
            now: When its terms were confirmed.

        Raises:
            Aborted: ETAG_MISMATCH: somebody else changed it meanwhile.
        """
        version = await self._tx.scalar(
            text(
                "INSERT INTO reward_settings AS s (is_enabled, terms_version, terms_at, delivery, "
                "monthly_budget_micro, version) SELECT :enabled, :terms, :at, :delivery, :budget, 1 "
                "WHERE :expected = 0 OR EXISTS (SELECT 1 FROM reward_settings) "
                "ON CONFLICT (tenant_id) DO UPDATE SET is_enabled = excluded.is_enabled, "
                "terms_version = excluded.terms_version, terms_at = excluded.terms_at, "
                "delivery = excluded.delivery, monthly_budget_micro = excluded.monthly_budget_micro, "
                "version = s.version + 1 WHERE s.version = :expected RETURNING version"
            ),
            {
                "enabled": tariff.is_enabled,
                "terms": tariff.terms_version or None,
                "at": now if tariff.terms_version else None,
                "delivery": tariff.delivery,
                "budget": tariff.monthly_budget_micro,
                "expected": expected_version,
            },
        )
        if version is None:
            raise Aborted(
                "the tariff was changed meanwhile; read it again and repeat the change",
                reason="ETAG_MISMATCH",
            )
        await self._tx.execute(text("DELETE FROM reward_tariffs"))
        for key, rate in sorted(tariff.rates.items()):
            await self._tx.execute(
                text(
                    "INSERT INTO reward_tariffs (purpose_key, amount_micro, chain) "
                    "VALUES (:key, :amount, :chain)"
                ),
                {"key": key, "amount": rate.amount_micro, "chain": rate.chain},
            )
        return await self.read()


def _invalid(name: str, fault: str, reason: str = "FIELD_INVALID") -> InvalidArgument:
    return InvalidArgument(f"{name}: {fault}", reason=reason, violations=(Violation(name, fault),))
