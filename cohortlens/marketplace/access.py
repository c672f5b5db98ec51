"""Asking for access, deciding, ending: what both sides of an agreement do, audited for both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core import clock
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, go_on_for
from cohortlens.core.errors import Aborted, AlreadyExists
from cohortlens.core.idempotency import made
from cohortlens.core.ids import TenantId, uuid7
from cohortlens.core.outbox import Outbox
from cohortlens.marketplace.agreement_rows import AgreementRows
from cohortlens.marketplace.contributors import Contributors
from cohortlens.marketplace.models import (
    ENDING_WANTED,
    Agreement,
    MarketMissing,
    Offer,
    OfferOwnTenant,
    OfferWithdrawn,
    PurposeNotPermitted,
)
from cohortlens.marketplace.offer_rows import OfferRows
from cohortlens.marketplace.offers import checked_contributors
from cohortlens.marketplace.settlement_rows import SettlementRows
from cohortlens.marketplace.settling import begin
from cohortlens.marketplace.states import AgreementState

_SELLER, _BUYER = "SELLER", "BUYER"


class Access:
    """Use cases of requests and agreements.

    Args:
        db: PostgreSQL.
        now: The clock.
    """

    def __init__(self, db: Database, now: clock.Clock = clock.now) -> None:
        self._db, self._now = db, now

    async def request(self, ctx: RequestContext, offer_id: UUID, version: int, purpose: str) -> Agreement:
        """Ask for access; who asks accepts the terms of the version.

        Raises:
            MarketMissing: There is no such offer.
            OfferOwnTenant: It is the caller's own.
            OfferWithdrawn: It is not on offer any more.
            Aborted: ETAG_MISMATCH: another version is on offer.
            PurposeNotPermitted: Its terms do not permit the purpose.
            AlreadyExists: The caller has an open request for it.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            offer = await _offered(tx, offer_id)
            if offer.version != version:
                raise Aborted(
                    f"version {offer.version} is on offer, not {version}; read its terms and ask again",
                    reason="ETAG_MISMATCH",
                )
            permitted = _permitted(offer)
            if purpose not in permitted:
                raise PurposeNotPermitted(purpose, permitted)
            asked = Agreement(
                tenant_id=offer.tenant_id,
                id=uuid7(),
                buyer_id=ctx.tenant_id,
                offer_id=offer_id,
                offer_version=version,
                purpose=purpose,
                state=AgreementState.REQUESTED,
                reason="",
                price_minor=offer.spec.price_minor,
                currency=offer.spec.currency,
                incentive_micro=offer.spec.incentive_micro,
                expires_at=offer.spec.ends_at,
                agreed_at=None,
                data_revision=0,
                created_at=self._now(),
            )
            made(agreement=str(asked.id))
            await go_on_for(tx, offer.tenant_id)
            if not await AgreementRows(tx).add(asked):
                raise AlreadyExists("you have an open request for this offer; take it back first")
            await _audit_both(tx, ctx, asked, "marketplace.access.requested")
            return await _found(tx, asked.id)

    async def page(
        self, ctx: RequestContext, offer_id: UUID | None, after: UUID | None, limit: int
    ) -> list[Agreement]:
        """Requests and agreements of either side, the newest first."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await AgreementRows(tx).page(offer_id, after, limit)

    async def get(self, ctx: RequestContext, agreement_id: UUID) -> Agreement:
        """One of either side.

        Raises:
            MarketMissing: There is none of the caller's.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await _found(tx, agreement_id)

    async def approve(self, ctx: RequestContext, agreement_id: UUID) -> Agreement:
        """Approve a request: the buyer accepted with it, so both agree, and contributors are frozen.

        Raises:
            MarketMissing: The caller sells no such thing.
            OfferWithdrawn: The offer is not on offer any more.
            OfferInvalid: It has an incentive, and nobody is left to get it.
            OfferTooSmall: Fewer than 100 customers allow it now.
            PurposeNotPermitted: A contributor does not allow a purpose of the terms any more.
            StateTransitionInvalid: It was decided before.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows, asked = AgreementRows(tx), await _sold(tx, ctx.tenant_id, agreement_id)
            offered = await rows.move(asked, AgreementState.OFFERED, _SELLER)
            offer = await OfferRows(tx).own(asked.offer_id, lock=True)
            if offer is None or offer.state != "PUBLISHED" or asked.expires_at <= self._now():
                raise OfferWithdrawn
            version = await OfferRows(tx).version(asked.offer_id, asked.offer_version)
            permitted = await checked_contributors(tx, version.spec)
            if asked.purpose not in permitted:
                raise PurposeNotPermitted(asked.purpose, permitted)
            accepted = await rows.move(offered, AgreementState.ACCEPTED, _BUYER)
            agreed = await rows.move(accepted, AgreementState.AGREED, "PLATFORM")
            standing = await Contributors(tx, asked.purpose).standing()
            await OfferRows(tx).revision(asked.offer_id, asked.purpose, standing)
            await begin(tx, agreed)
            await _audit_both(tx, ctx, agreed, "marketplace.access.approved")
            return await _found(tx, agreement_id)

    async def reject(self, ctx: RequestContext, agreement_id: UUID, reason: str) -> Agreement:
        """Reject a request.

        Raises:
            MarketMissing: The caller sells no such thing.
            StateTransitionInvalid: It was decided before.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            asked = await _sold(tx, ctx.tenant_id, agreement_id)
            if asked.state is not AgreementState.REQUESTED:
                # An agreement is ended, not rejected: the move itself would be lawful.
                asked = await AgreementRows(tx).move(asked, AgreementState.OFFERED, _SELLER)
            ended = await AgreementRows(tx).move(asked, AgreementState.TERMINATED, _SELLER, reason)
            await _audit_both(tx, ctx, ended, "marketplace.access.rejected")
            return ended

    async def terminate(self, ctx: RequestContext, agreement_id: UUID, reason: str) -> Agreement:
        """End an agreement, or take a request back; what was booked stays booked.

        Raises:
            MarketMissing: The caller is neither side.
            StateTransitionInvalid: It was ended before.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            known = await _found(tx, agreement_id)
            await go_on_for(tx, known.tenant_id)
            agreement = await _sold(tx, known.tenant_id, agreement_id)
            actor = _SELLER if ctx.tenant_id == known.tenant_id else _BUYER
            ended = await AgreementRows(tx).move(agreement, AgreementState.TERMINATED, actor, reason)
            settlement = await SettlementRows(tx).of_agreement(agreement_id)
            if settlement is not None:
                payload = {"settlement_id": str(settlement.id)}
                await Outbox(tx).record(ENDING_WANTED, f"{ENDING_WANTED}:{settlement.id}", payload)
            await _audit_both(tx, ctx, ended, "marketplace.agreement.terminated", {"by": actor})
            return ended


async def _audit_both(
    tx: AsyncConnection,
    who: RequestContext | Actor,
    agreement: Agreement,
    action: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """A row in the log of each side; the transaction goes on in the seller's name.

    Logs are locked in one order whoever acts: two who sell to each other cannot wait for one another.
    """
    for tenant_id in sorted((agreement.tenant_id, agreement.buyer_id)):
        await go_on_for(tx, tenant_id)
        await AuditTrail(tx).append(
            who,
            action,
            resource=f"agreements/{agreement.id}",
            details={"offer": str(agreement.offer_id), "state": agreement.state.value, **(details or {})},
        )
    await go_on_for(tx, agreement.tenant_id)


async def _offered(tx: AsyncConnection, offer_id: UUID) -> Offer:
    rows = OfferRows(tx)
    if await rows.own(offer_id) is not None:
        raise OfferOwnTenant
    offer = await rows.published(offer_id)
    if offer is None:
        # Who knew of a published offer learns that it is gone only from an agreement of its own.
        if any(one.offer_id == offer_id for one in await AgreementRows(tx).page(offer_id, None, 1)):
            raise OfferWithdrawn
        raise MarketMissing("offer")
    return offer


def _permitted(offer: Offer) -> tuple[str, ...]:
    [rule] = json.loads(offer.terms)["permission"]
    return tuple(rule["constraint"][0]["rightOperand"])


async def _sold(tx: AsyncConnection, seller: TenantId, agreement_id: UUID) -> Agreement:
    found = await AgreementRows(tx).find(agreement_id)
    if found is None or found.tenant_id != seller:
        raise MarketMissing("request or agreement")
    locked = await AgreementRows(tx).find(agreement_id, lock=True)
    if locked is None:
        raise MarketMissing("request or agreement")
    return locked


async def _found(tx: AsyncConnection, agreement_id: UUID) -> Agreement:
    found = await AgreementRows(tx).find(agreement_id)
    if found is None:
        raise MarketMissing("request or agreement")
    return found
