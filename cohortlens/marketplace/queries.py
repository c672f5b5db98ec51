"""Questions under an agreement: charged first, then computed; the same question gets the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core import clock
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, go_on_for, locked_in_tenant
from cohortlens.core.errors import Aborted
from cohortlens.core.failpoints import failpoint
from cohortlens.core.idempotency import made
from cohortlens.core.ids import TenantId, uuid7
from cohortlens.marketplace.agreement_rows import AgreementRows
from cohortlens.marketplace.answers import answer_of, is_empty
from cohortlens.marketplace.budget import Budget, Budgets
from cohortlens.marketplace.contributors import Contributors
from cohortlens.marketplace.models import (
    LEAST_CONTRIBUTORS,
    Agreement,
    AgreementNotActive,
    CohortTooSmall,
    MarketMissing,
    OfferTooSmall,
    Spec,
)
from cohortlens.marketplace.offer_rows import OfferRows
from cohortlens.marketplace.offers import checked_contributors
from cohortlens.marketplace.query_rows import Asked, Place, QueryRows
from cohortlens.marketplace.questions import Question, normalised
from cohortlens.marketplace.states import ACTIVE

Words = tuple[list[str], list[str], list[tuple[str, list[str]]]]
"""Measures, dimensions and filters as a caller wrote them."""


class Queries:
    """Use cases of questions.

    Args:
        db: PostgreSQL.
        now: The clock.
    """

    def __init__(self, db: Database, now: clock.Clock = clock.now) -> None:
        self._db, self._now = db, now

    async def run(self, ctx: RequestContext, agreement_id: UUID, words: Words) -> Asked:
        """Answer a question of the buyer.

        Raises:
            MarketMissing: The caller buys no such thing.
            AgreementNotActive: It is not agreed yet, ended, or expired.
            QueryNotAllowed: The question is not in the closed list.
            PrivacyBudgetExhausted: A budget has too little left.
            CohortTooSmall: Every cell is about too few; the charge stands.
        """
        query_id = uuid7()
        made(query=str(query_id), agreement=str(agreement_id))
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            agreement = await self._bought(tx, ctx.tenant_id, agreement_id)
            await go_on_for(tx, agreement.tenant_id)
            version = await OfferRows(tx).version(agreement.offer_id, agreement.offer_version)
            question = normalised(version.spec, *words)
            place = await self._charged(tx, query_id, version.spec, question, agreement)
        failpoint("marketplace.charged")
        return await self._computed(agreement, query_id, place, version.spec, question)

    async def preview(
        self, ctx: RequestContext, offer_id: UUID, words: Words
    ) -> tuple[Asked, tuple[str, ...], int]:
        """Answer a question of the seller about a draft or offer, charged to its tenant and offer.

        Returns:
            The answer, the purposes that are permitted, and the contributors, rounded down to hundreds.

        Raises:
            MarketMissing: The tenant has no such offer.
            OfferTooSmall: Fewer than 100 customers allow it.
            PurposeNotPermitted: Not all of them allow a purpose that it names.
            QueryNotAllowed, PrivacyBudgetExhausted, CohortTooSmall: As ``run``.
        """
        query_id = uuid7()
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            offer = await OfferRows(tx).own(offer_id)
            if offer is None:
                raise MarketMissing("offer")
            permitted = await checked_contributors(tx, offer.spec)
            question = normalised(offer.spec, *words)
            # A draft has no version: its noise is its own, and is stored for nobody else.
            revision, _new = await OfferRows(tx).revision(offer_id, "", await Contributors(tx).standing())
            cost = offer.spec.epsilon_milli
            await Budgets(tx, offer_id, None).check(pool_milli=cost, buyer_milli=0)
            place = Place(offer_id, 0, "", revision, question.sha256())
            await QueryRows(tx).ask(query_id, place, question, None, charged_milli=cost, pool_milli=cost)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            counted = await Contributors(tx).counted(offer.spec, question)
            revision, _new = await OfferRows(tx).revision(offer_id, "", counted.standing)
            answer = answer_of(offer.spec, question, revision, counted.cells, await _currency(tx))
            await QueryRows(tx).answered(query_id, revision, answer)
            asked = await _asked(tx, query_id)
        _check_told(asked)
        return asked, permitted, counted.standing.persons // 100 * 100

    async def page(
        self, ctx: RequestContext, agreement_id: UUID, after: UUID | None, limit: int
    ) -> list[Asked]:
        """Questions of an agreement, the newest first; for either side.

        Raises:
            MarketMissing: There is none of the caller's.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            if await AgreementRows(tx).find(agreement_id) is None:
                raise MarketMissing("agreement")
            return await QueryRows(tx).page(agreement_id, after, limit)

    async def get(self, ctx: RequestContext, query_id: UUID) -> Asked:
        """A question of the caller's own.

        Raises:
            MarketMissing: There is none.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await _asked(tx, query_id)

    async def budgets(self, ctx: RequestContext, agreement_id: UUID) -> list[Budget]:
        """What is left; a buyer sees its own alone, since the others tell of other buyers.

        Raises:
            MarketMissing: There is no agreement of the caller's.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            agreement = await AgreementRows(tx).find(agreement_id)
            if agreement is None:
                raise MarketMissing("agreement")
            await go_on_for(tx, agreement.tenant_id)
            found = await Budgets(tx, agreement.offer_id, agreement.buyer_id).read()
        if ctx.tenant_id == agreement.tenant_id:
            return found
        return [one for one in found if one.scope == "BUYER"]

    async def _bought(self, tx: AsyncConnection, buyer: TenantId, agreement_id: UUID) -> Agreement:
        found = await AgreementRows(tx).find(agreement_id)
        if found is None or found.buyer_id != buyer:
            raise MarketMissing("agreement")
        if found.state not in ACTIVE or found.expires_at <= self._now():
            raise AgreementNotActive(
                f"the agreement is {found.state} and ends at {found.expires_at.isoformat()}; "
                "questions are answered from AGREED on and until then",
                metadata={"state": found.state.value},
            )
        return found

    async def _charged(
        self,
        tx: AsyncConnection,
        query_id: UUID,
        spec: Spec,
        question: Question,
        agreement: Agreement,
    ) -> Place:
        rows, digest, offer_id = QueryRows(tx), question.sha256(), agreement.offer_id
        # Whoever asks the same at the same time waits here, and finds the place that was paid for.
        await locked_in_tenant(tx, f"marketplace/{offer_id}/{digest.hex()}")
        standing = await Contributors(tx, agreement.purpose).standing()
        if standing.persons < LEAST_CONTRIBUTORS:
            raise OfferTooSmall
        revision, _new = await OfferRows(tx).revision(offer_id, agreement.purpose, standing)
        place = Place(offer_id, agreement.offer_version, agreement.purpose, revision, digest)
        pool = 0 if await rows.is_charged(place) else spec.epsilon_milli
        own = 0 if await rows.is_told(place, agreement.buyer_id) else spec.epsilon_milli
        await Budgets(tx, offer_id, agreement.buyer_id).check(pool_milli=pool, buyer_milli=own)
        await rows.reserve(place)
        await rows.ask(query_id, place, question, agreement, charged_milli=own, pool_milli=pool)
        return place

    async def _computed(
        self, agreement: Agreement, query_id: UUID, place: Place, spec: Spec, question: Question
    ) -> Asked:
        async with self._db.tenant_transaction(agreement.tenant_id) as tx:
            rows = QueryRows(tx)
            await locked_in_tenant(tx, f"marketplace/{place.offer_id}/{place.question_sha256.hex()}")
            counted = await Contributors(tx, place.purpose).counted(spec, question)
            if counted.standing.persons < LEAST_CONTRIBUTORS:
                raise OfferTooSmall
            revision, _new = await OfferRows(tx).revision(place.offer_id, place.purpose, counted.standing)
            if revision != place.revision:
                # Somebody withdrew since the charge: what is told is about those who contribute now.
                place = replace(place, revision=revision)
                if not await rows.is_paid(query_id, place, agreement.buyer_id):
                    # A free repeat of the answer before; one about these contributors was not paid for.
                    raise Aborted(
                        "who contributes has changed while this was asked; ask again",
                        reason="SERIALIZATION_RETRY",
                        retry_delay_s=1.0,
                    )
            answer = await rows.answer(place)
            if answer is None:
                answer = answer_of(spec, question, revision, counted.cells, await _currency(tx))
                await rows.keep(place, answer)
            await rows.answered(query_id, revision, answer)
            asked = await _asked(tx, query_id)
        _check_told(asked)
        return asked


async def _currency(tx: AsyncConnection) -> str:
    found: Any = await tx.scalar(text("SELECT currency FROM customer_data WHERE tenant_id = app.tid()"))
    return str(found or "")


async def _asked(tx: AsyncConnection, query_id: UUID) -> Asked:
    found = await QueryRows(tx).find(query_id)
    if found is None:
        raise MarketMissing("query")
    return found


def _check_told(asked: Asked) -> None:
    if asked.answer is not None and is_empty(json.loads(asked.answer)):
        raise CohortTooSmall
