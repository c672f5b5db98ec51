"""Offers as sellers and buyers use them: drafts, versions, samples."""

from __future__ import annotations

import random
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.tariffs import TariffRows
from cohortlens.core import clock
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import Aborted
from cohortlens.core.idempotency import made
from cohortlens.core.ids import uuid7
from cohortlens.marketplace.contributors import Contributors
from cohortlens.marketplace.models import (
    LEAST_CONTRIBUTORS,
    MarketMissing,
    Offer,
    OfferInvalid,
    OfferTooSmall,
    PurposeNotPermitted,
    Spec,
)
from cohortlens.marketplace.offer_rows import OfferRows
from cohortlens.marketplace.questions import Question, normalised
from cohortlens.marketplace.specs import checked
from cohortlens.marketplace.states import StateTransitionInvalid
from cohortlens.marketplace.terms import dcat_entry, offer_terms

_ENDED = "WITHDRAWN"


class Offers:
    """Use cases of offers.

    Args:
        db: PostgreSQL.
        now: The clock.
    """

    def __init__(self, db: Database, now: clock.Clock = clock.now) -> None:
        self._db, self._now = db, now

    async def create(self, ctx: RequestContext, spec: Spec) -> Offer:
        """Make a draft.

        Raises:
            OfferInvalid: It cannot be; names the field.
        """
        checked(spec, self._now())
        offer_id = uuid7()
        made(offer=str(offer_id))
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            await OfferRows(tx).add(offer_id, spec)
            await AuditTrail(tx).append(ctx, "marketplace.offer.created", resource=f"offers/{offer_id}")
            return await _own(tx, offer_id)

    async def update(self, ctx: RequestContext, offer_id: UUID, spec: Spec, etag: str) -> Offer:
        """Change what the next version offers.

        Raises:
            MarketMissing: The tenant has no such offer.
            OfferInvalid: It cannot be; names the field.
            Aborted: ETAG_MISMATCH: somebody changed it meanwhile.
            StateTransitionInvalid: It was withdrawn.
        """
        checked(spec, self._now())
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            offer = await _own(tx, offer_id, lock=True)
            if str(offer.etag) != etag:
                raise Aborted("the offer was changed meanwhile; read it again", reason="ETAG_MISMATCH")
            _check_open(offer)
            await OfferRows(tx).change(offer_id, spec)
            await AuditTrail(tx).append(ctx, "marketplace.offer.changed", resource=f"offers/{offer_id}")
            return await _own(tx, offer_id)

    async def publish(self, ctx: RequestContext, offer_id: UUID) -> Offer:
        """Publish a new version whose terms follow from the contributors' consents.

        Raises:
            MarketMissing: The tenant has no such offer.
            OfferInvalid: It has ended, is to be paid for, or its incentive cannot be paid.
            OfferTooSmall: Fewer than 100 customers allow it.
            PurposeNotPermitted: Not all of them allow a purpose that it names.
            StateTransitionInvalid: It was withdrawn.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            offer, rows = await _own(tx, offer_id, lock=True), OfferRows(tx)
            _check_open(offer)
            checked(offer.spec, self._now())
            await _check_payable(tx, offer.spec)
            permitted = await checked_contributors(tx, offer.spec)
            version = offer.version + 1
            purposes = await Contributors(tx).purposes()
            terms = offer_terms(offer_id, version, offer.spec, permitted, purposes)
            dcat = dcat_entry(offer_id, version, offer.spec, offer.seller, self._now())
            await rows.publish(offer, terms, dcat)
            await AuditTrail(tx).append(
                ctx,
                "marketplace.offer.published",
                resource=f"offers/{offer_id}",
                details={"version": version, "purposes": list(permitted)},
            )
            return await _own(tx, offer_id)

    async def withdraw(self, ctx: RequestContext, offer_id: UUID) -> Offer:
        """Take an offer off for good; once more is refused.

        Raises:
            MarketMissing: The tenant has no such offer.
            StateTransitionInvalid: It was withdrawn before.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            offer = await _own(tx, offer_id, lock=True)
            _check_open(offer)
            await OfferRows(tx).end(offer_id, _ENDED)
            await AuditTrail(tx).append(ctx, "marketplace.offer.withdrawn", resource=f"offers/{offer_id}")
            return await _own(tx, offer_id)

    async def get(self, ctx: RequestContext, offer_id: UUID) -> Offer:
        """One of the tenant's own, or one that is published.

        Raises:
            MarketMissing: There is none, or it is another tenant's and not published.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = OfferRows(tx)
            found = await rows.own(offer_id) or await rows.published(offer_id)
        if found is None:
            raise MarketMissing("offer")
        return found

    async def page(self, ctx: RequestContext, *, own: bool, after: UUID | None, limit: int) -> list[Offer]:
        """Offers, the newest first."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = OfferRows(tx)
            return await (rows.own_page(after, limit) if own else rows.published_page(after, limit))

    async def sample(
        self, ctx: RequestContext, offer_id: UUID
    ) -> tuple[Offer, Question, dict[tuple[str, ...], int]]:
        """Figures that are made up from the offer's words alone: no data of anybody is read.

        Raises:
            MarketMissing: There is no such offer.
        """
        offer = await self.get(ctx, offer_id)
        first = offer.spec.dimensions[0].name
        question = normalised(offer.spec, ["count"], [first], [])
        chance = random.Random(offer.id.int)  # noqa: S311 - made-up figures, the same each time
        return offer, question, {cell: chance.randrange(50, 5_000) for cell in question.cells(offer.spec)}


async def checked_contributors(tx: AsyncConnection, spec: Spec) -> tuple[str, ...]:
    """The purposes that answers may be used for.

    Args:
        tx: A connection inside ``Database.tenant_transaction`` of the seller.
        spec: What is offered.

    Raises:
        OfferTooSmall: Contributors are fewer than 100.
        PurposeNotPermitted: Not all of them allow a purpose that the offer names.
        OfferInvalid: There is an incentive and nobody to get it.
    """
    contributors = Contributors(tx)
    if (await contributors.standing()).persons < LEAST_CONTRIBUTORS:
        raise OfferTooSmall
    permitted = await contributors.permitted()
    for purpose in spec.purposes:
        if purpose not in permitted:
            raise PurposeNotPermitted(purpose, permitted)
    if spec.incentive_micro and not await contributors.identities():
        # Customers who were never asked contribute by another basis and have no account to be paid into.
        raise OfferInvalid(
            "spec.incentive_micro", "must be 0 while no contributor has recorded a decision of their own"
        )
    return spec.purposes or permitted


async def _check_payable(tx: AsyncConnection, spec: Spec) -> None:
    if spec.price_minor:
        raise OfferInvalid("spec.price_minor", "must be 0: this installation takes no payments for offers")
    if spec.incentive_micro and not (await TariffRows(tx).read()).is_enabled:
        raise OfferInvalid(
            "spec.incentive_micro", "must be 0 while rewards are switched off; see SetRewardTariff"
        )


def _check_open(offer: Offer) -> None:
    if offer.state == _ENDED:
        raise StateTransitionInvalid("the offer was withdrawn for good; make a new one")


async def _own(tx: AsyncConnection, offer_id: UUID, *, lock: bool = False) -> Offer:
    found = await OfferRows(tx).own(offer_id, lock=lock)
    if found is None:
        raise MarketMissing("offer")
    return found
