"""Wallets of customers: bound by a text that the wallet signs, released by hand."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.fulfilment.owing import want_release
from cohortlens.consent.identities import Identities
from cohortlens.consent.models import ConsentRowMissing, CustomerErased
from cohortlens.consent.ports import RewardLedger
from cohortlens.core import clock
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import AlreadyExists, InvalidArgument, Violation
from cohortlens.core.ids import plain_uuid, uuid7
from cohortlens.core.tenant_keys import TenantKeys

CHALLENGE_LIFE: Final = timedelta(minutes=10)
_ACCOUNTS = {"evm": "Ethereum", "solana": "Solana"}


class WalletAlreadyBound(AlreadyExists):
    """The customer has a wallet on this chain, or the address is another customer's."""

    reason = "WALLET_ALREADY_BOUND"


async def purge_challenges(db: Database, limit: int = 1_000) -> int:
    """Delete challenges of all tenants that were over a day ago; answers how many.

    Args:
        db: PostgreSQL as the role of jobs.
        limit: Most of them in one transaction.
    """
    gone, hit = 0, limit
    while hit == limit:
        async with db.transaction() as tx:
            hit = int(
                await tx.scalar(text("SELECT app.wallet_challenges_purge(:most)"), {"most": limit}) or 0
            )
        gone += hit
    return gone


@dataclass(frozen=True)
class Challenge:
    """A text for a wallet to sign, used once until ``expires_at``."""

    id: UUID
    message: str
    expires_at: datetime


@dataclass(frozen=True)
class Wallet:
    """A wallet that is bound to a person."""

    id: UUID
    chain: str
    address: str
    bound_at: datetime


class Wallets:
    """Use cases of wallets.

    Args:
        db: PostgreSQL.
        keys: The tenants' keys.
        ledger: Checks addresses and signatures.
        public_url: Where people reach this installation; its host stands in the text.
        now: The clock.
    """

    def __init__(
        self,
        db: Database,
        keys: TenantKeys,
        ledger: RewardLedger,
        public_url: str,
        now: clock.Clock = clock.now,
    ) -> None:
        self._db, self._keys, self._ledger, self._now = db, keys, ledger, now
        self._url = public_url or "https://cohortlens.local"

    async def challenge(self, ctx: RequestContext, customer: str, chain: str, address: str) -> Challenge:
        """Make the text that proves a wallet.

        Raises:
            NotFound: No such customer.
            InvalidArgument: WALLET_ADDRESS_INVALID: no address of the chain, or nobody's who could claim.
            FailedPrecondition: CUSTOMER_ERASED.
            Unavailable: WEB3_UNAVAILABLE.
        """
        made, at = uuid7(), self._now()
        numbers = {one.chain: one.chain_id for one in (await self._ledger.chains()).chains}
        message = challenge_text(self._url, chain, address, numbers.get(chain, 0), at)
        await self._check_address(chain, address, message)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            [person] = await Identities(tx, ctx.tenant_id, self._keys).locked([customer], ["customer"])
            if person.erased_at is not None:
                raise CustomerErased("customer: was erased")
            await tx.execute(
                text(
                    "INSERT INTO wallet_challenges (id, identity_id, chain, address, message, expires_at) "
                    "VALUES (:id, :identity, :chain, :address, :message, :expires)"
                ),
                {
                    "id": made,
                    "identity": person.id,
                    "chain": chain,
                    "address": address,
                    "message": message,
                    "expires": at + CHALLENGE_LIFE,
                },
            )
        return Challenge(made, message, at + CHALLENGE_LIFE)

    async def bind(self, ctx: RequestContext, challenge_id: UUID, signature: bytes) -> Wallet:
        """Bind the wallet that signed a challenge; rewards that were held for want of one go out.

        Raises:
            NotFound: No such challenge, used before, or over.
            InvalidArgument: WALLET_PROOF_INVALID or WALLET_ADDRESS_INVALID.
            AlreadyExists: WALLET_ALREADY_BOUND.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            row = (
                await tx.execute(
                    text(
                        "SELECT chain, address, message FROM wallet_challenges "
                        "WHERE id = :id AND used_at IS NULL AND expires_at > :now"
                    ),
                    {"id": challenge_id, "now": self._now()},
                )
            ).one_or_none()
        if row is None:
            raise ConsentRowMissing("challenge")
        address = await self._ledger.verify_wallet(row.chain, row.address, row.message, signature)
        try:
            async with self._db.tenant_transaction(ctx.tenant_id) as tx:
                return await self._bound(tx, ctx, challenge_id, address)
        except IntegrityError:
            raise WalletAlreadyBound(
                "the customer has a wallet on this chain, or another customer has this one; release it first"
            ) from None

    async def bound_by(self, ctx: RequestContext, challenge_id: UUID) -> Wallet:
        """The wallet that a challenge bound, for a repeat of a call whose answer was lost.

        Raises:
            NotFound: The challenge bound nothing, or its wallet was released.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            row = (
                await tx.execute(
                    text(
                        "SELECT identity_id, chain FROM wallet_challenges "
                        "WHERE id = :id AND used_at IS NOT NULL"
                    ),
                    {"id": challenge_id},
                )
            ).one_or_none()
            bound = [] if row is None else await wallets_of(tx, plain_uuid(row.identity_id))
            for wallet in bound:
                if row is not None and wallet.chain == row.chain:
                    return wallet
        raise ConsentRowMissing("challenge")

    async def release(self, ctx: RequestContext, wallet_id: UUID) -> None:
        """Release a wallet; once more is a success.

        What was owed before is still paid to it: the recipient of a reward that is owed never changes.

        Raises:
            NotFound: No such wallet.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            known = await tx.scalar(text("SELECT 1 FROM wallets WHERE id = :id"), {"id": wallet_id})
            if known is None:
                raise ConsentRowMissing("wallet")
            changed = await tx.scalar(
                text(
                    "UPDATE wallets SET released_at = :now WHERE id = :id AND released_at IS NULL RETURNING 1"
                ),
                {"id": wallet_id, "now": self._now()},
            )
            if changed:
                resource = f"wallets/{wallet_id}"
                await AuditTrail(tx).append(ctx, "consent.wallet.released", resource=resource)

    async def _check_address(self, chain: str, address: str, message: str) -> None:
        """Refuse an address before its holder is asked to sign: the sidecar looks at it before the proof."""
        try:
            await self._ledger.verify_wallet(chain, address, message, b"")
        except InvalidArgument as error:
            if error.reason != "WALLET_PROOF_INVALID":
                fault = "is no address of the chain that somebody could hold"
                raise InvalidArgument(
                    f"address: {fault}", reason=error.reason, violations=(Violation("address", fault),)
                ) from None

    async def _bound(
        self, tx: AsyncConnection, ctx: RequestContext, challenge_id: UUID, address: str
    ) -> Wallet:
        row = (
            await tx.execute(
                text(
                    "UPDATE wallet_challenges SET used_at = :now WHERE id = :id AND used_at IS NULL "
                    "RETURNING identity_id, chain"
                ),
                {"id": challenge_id, "now": self._now()},
            )
        ).one_or_none()
        if row is None:
            raise ConsentRowMissing("challenge")
        wallet = Wallet(uuid7(), row.chain, address, self._now())
        identity_id = plain_uuid(row.identity_id)
        await tx.execute(
            text(
                "INSERT INTO wallets (id, identity_id, chain, address, bound_at) "
                "VALUES (:id, :identity, :chain, :address, :at)"
            ),
            {
                "id": wallet.id,
                "identity": identity_id,
                "chain": wallet.chain,
                "address": address,
                "at": wallet.bound_at,
            },
        )
        await want_release(tx, identity_id)
        await AuditTrail(tx).append(
            ctx, "consent.wallet.bound", resource=f"wallets/{wallet.id}", details={"chain": wallet.chain}
        )
        return wallet


async def wallets_of(tx: AsyncConnection, identity_id: UUID) -> list[Wallet]:
    """The wallets that are bound to a person, by chain."""
    rows = await tx.execute(
        text(
            "SELECT id, chain, address, bound_at FROM wallets "
            "WHERE identity_id = :identity AND released_at IS NULL ORDER BY chain"
        ),
        {"identity": identity_id},
    )
    return [Wallet(plain_uuid(row.id), row.chain, row.address, row.bound_at) for row in rows]


def challenge_text(public_url: str, chain: str, address: str, chain_id: int, at: datetime) -> str:
    """The text to sign, in the form of EIP-4361; nothing in it names the customer.

    Args:
        public_url: Where people reach this installation.
        chain: ``evm`` or ``solana``.
        address: Address of the wallet.
        chain_id: Number of the chain; 0 where it has none.
        at: When it is made; it ends ``CHALLENGE_LIFE`` later.

    Raises:
        InvalidArgument: FIELD_INVALID: the address would break out of its line.
    """
    if not address.isascii() or not address.isalnum():
        fault = "must be letters and digits alone"
        raise InvalidArgument(
            f"address: {fault}", reason="WALLET_ADDRESS_INVALID", violations=(Violation("address", fault),)
        )
    domain = urlsplit(public_url).netloc
    lines = [
        f"{domain} wants you to sign in with your {_ACCOUNTS[chain]} account:",
        address,
        "",
        "I want to receive reward tokens at this wallet. Its address and each payment stay public for ever.",
        "",
        f"URI: {public_url}",
        "Version: 1",
        f"Chain ID: {chain_id if chain == 'evm' else 'solana'}",
        f"Nonce: {secrets.token_hex(16)}",
        f"Issued At: {at.strftime('%Y-%m-%dT%H:%M:%SZ')}",
        f"Expiration Time: {(at + CHALLENGE_LIFE).strftime('%Y-%m-%dT%H:%M:%SZ')}",
    ]
    return "\n".join(lines)
