"""MarketplaceService, offers and agreements: messages to the use cases, and back."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC
from typing import Any
from uuid import UUID

from cohortlens.bootstrap.marketplace import Marketplace
from cohortlens.core.paging import PageTokens
from cohortlens.marketplace.budget import TOTALS_MILLI
from cohortlens.marketplace.models import Agreement, Dimension, Offer, OfferInvalid, Spec
from cohortlens.marketplace.privacy import LEAST_PERSONS
from cohortlens.marketplace.terms import privacy_sentence
from cohortlens.v1 import marketplace_agreements_pb2 as agreements_pb
from cohortlens.v1 import marketplace_offers_pb2 as offers_pb
from cohortlens.v1 import marketplace_queries_pb2 as queries_pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import identifier_of, optional_identifier, timestamp
from gateway.servicers.marketplace_answers import answer_message, words_of
from gateway.servicers.paging import read_page

_SYNTHETIC = "These figures are made up from the offer's closed lists; no data of anybody was read."


class MarketplaceServicer:
    """The RPCs of ``cohortlens.v1.MarketplaceService`` about offers and agreements.

    Args:
        market: The use cases.
        tokens: Seals the tokens of lists.
    """

    def __init__(self, market: Marketplace, tokens: PageTokens) -> None:
        self._offers, self._access, self._queries = market.offers, market.access, market.queries
        self._tokens = tokens

    async def CreateOffer(
        self, request: offers_pb.CreateOfferRequest, call: Call
    ) -> offers_pb.CreateOfferResponse:
        """Make a draft."""
        stored = await self._offers.create(call.context, _spec(request.spec))
        return offers_pb.CreateOfferResponse(offer=_offer(stored, call))

    async def UpdateOffer(
        self, request: offers_pb.UpdateOfferRequest, call: Call
    ) -> offers_pb.UpdateOfferResponse:
        """Change what the next version offers."""
        offer_id = identifier_of("offer", request.offer)
        stored = await self._offers.update(call.context, offer_id, _spec(request.spec), request.etag)
        return offers_pb.UpdateOfferResponse(offer=_offer(stored, call))

    async def PreviewOffer(
        self, request: offers_pb.PreviewOfferRequest, call: Call
    ) -> offers_pb.PreviewOfferResponse:
        """Answer a question of the seller's own."""
        asked, permitted, persons = await self._queries.preview(
            call.context, identifier_of("offer", request.offer), words_of(request.question)
        )
        return offers_pb.PreviewOfferResponse(
            answer=answer_message(asked.answer), permitted_purposes=permitted, contributors_at_least=persons
        )

    async def PublishOffer(
        self, request: offers_pb.PublishOfferRequest, call: Call
    ) -> offers_pb.PublishOfferResponse:
        """Publish a version."""
        stored = await self._offers.publish(call.context, identifier_of("offer", request.offer))
        return offers_pb.PublishOfferResponse(offer=_offer(stored, call))

    async def WithdrawOffer(
        self, request: offers_pb.WithdrawOfferRequest, call: Call
    ) -> offers_pb.WithdrawOfferResponse:
        """Take an offer off for good."""
        stored = await self._offers.withdraw(call.context, identifier_of("offer", request.offer))
        return offers_pb.WithdrawOfferResponse(offer=_offer(stored, call))

    async def ListOffers(
        self, request: offers_pb.ListOffersRequest, call: Call
    ) -> offers_pb.ListOffersResponse:
        """Offers, the newest first."""
        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListOffers",
            {"is_own": request.is_own},
            request,
            lambda after, limit: self._offers.page(
                call.context, own=request.is_own, after=_after(after), limit=limit
            ),
            lambda row: str(row.id),
        )
        return offers_pb.ListOffersResponse(
            offers=[_offer(one, call) for one in rows], next_page_token=following
        )

    async def GetOffer(self, request: offers_pb.GetOfferRequest, call: Call) -> offers_pb.GetOfferResponse:
        """One offer."""
        found = await self._offers.get(call.context, identifier_of("offer", request.offer))
        return offers_pb.GetOfferResponse(offer=_offer(found, call))

    async def GetOfferSample(
        self, request: offers_pb.GetOfferSampleRequest, call: Call
    ) -> offers_pb.GetOfferSampleResponse:
        """Made-up figures."""
        _found, question, cells = await self._offers.sample(
            call.context, identifier_of("offer", request.offer)
        )
        answer = queries_pb.MarketAnswer(dimensions=question.dimensions)
        for values, count in cells.items():
            answer.cells.add(values=values, count=count)
        return offers_pb.GetOfferSampleResponse(is_synthetic=True, note=_SYNTHETIC, answer=answer)

    async def RequestAccess(
        self, request: agreements_pb.RequestAccessRequest, call: Call
    ) -> agreements_pb.RequestAccessResponse:
        """Ask for access."""
        asked = await self._access.request(
            call.context, identifier_of("offer", request.offer), request.offer_version, request.purpose
        )
        return agreements_pb.RequestAccessResponse(agreement=_agreement(asked, call))

    async def ListAccessRequests(
        self, request: agreements_pb.ListAccessRequestsRequest, call: Call
    ) -> agreements_pb.ListAccessRequestsResponse:
        """Requests and agreements, the newest first."""
        offer_id = optional_identifier("offer", request.offer)
        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListAccessRequests",
            {"offer": request.offer},
            request,
            lambda after, limit: self._access.page(call.context, offer_id, _after(after), limit),
            lambda row: str(row.id),
        )
        return agreements_pb.ListAccessRequestsResponse(
            agreements=[_agreement(one, call) for one in rows], next_page_token=following
        )

    async def ApproveAccessRequest(
        self, request: agreements_pb.ApproveAccessRequestRequest, call: Call
    ) -> agreements_pb.ApproveAccessRequestResponse:
        """Approve a request."""
        agreed = await self._access.approve(call.context, identifier_of("agreement", request.agreement))
        return agreements_pb.ApproveAccessRequestResponse(agreement=_agreement(agreed, call))

    async def RejectAccessRequest(
        self, request: agreements_pb.RejectAccessRequestRequest, call: Call
    ) -> agreements_pb.RejectAccessRequestResponse:
        """Reject a request."""
        agreement_id = identifier_of("agreement", request.agreement)
        ended = await self._access.reject(call.context, agreement_id, request.reason)
        return agreements_pb.RejectAccessRequestResponse(agreement=_agreement(ended, call))

    async def GetAgreement(
        self, request: agreements_pb.GetAgreementRequest, call: Call
    ) -> agreements_pb.GetAgreementResponse:
        """One agreement."""
        found = await self._access.get(call.context, identifier_of("agreement", request.agreement))
        return agreements_pb.GetAgreementResponse(agreement=_agreement(found, call))

    async def TerminateAgreement(
        self, request: agreements_pb.TerminateAgreementRequest, call: Call
    ) -> agreements_pb.TerminateAgreementResponse:
        """End an agreement."""
        agreement_id = identifier_of("agreement", request.agreement)
        ended = await self._access.terminate(call.context, agreement_id, request.reason)
        return agreements_pb.TerminateAgreementResponse(agreement=_agreement(ended, call))


def _after(cursor: Any) -> UUID | None:
    return None if cursor is None else UUID(cursor)


def _spec(message: offers_pb.OfferSpec) -> Spec:
    if not message.HasField("end_time"):
        raise OfferInvalid("spec.end_time", "is missing: say when the offer ends")
    try:
        ends_at = message.end_time.ToDatetime(tzinfo=UTC)
    except ValueError:
        raise OfferInvalid("spec.end_time", "must be a time of the years 1 to 9999") from None
    return Spec(
        title=message.title,
        description=message.description,
        dimensions=tuple(Dimension(one.dimension, tuple(one.values)) for one in message.dimensions),
        measures=tuple(sorted(message.measures)),
        clip_minor=message.clip_minor,
        purposes=tuple(sorted(set(message.purposes))),
        price_minor=message.price_minor,
        currency=message.currency or "EUR",
        incentive_micro=message.incentive_micro,
        epsilon_milli=message.epsilon_milli,
        least_persons=message.least_persons or LEAST_PERSONS,
        ends_at=ends_at,
    )


def _offer(offer: Offer, call: Call) -> offers_pb.Offer:
    spec, is_own = offer.spec, offer.tenant_id == call.context.tenant_id
    return offers_pb.Offer(
        offer=str(offer.id),
        seller=offer.seller,
        is_own=is_own,
        state=_offer_state(offer.state),
        version=offer.version,
        spec=offers_pb.OfferSpec(
            title=spec.title,
            description=spec.description,
            dimensions=[
                offers_pb.OfferDimension(dimension=one.name, values=one.values) for one in spec.dimensions
            ],
            measures=spec.measures,
            clip_minor=spec.clip_minor,
            purposes=spec.purposes,
            price_minor=spec.price_minor,
            currency=spec.currency,
            incentive_micro=spec.incentive_micro,
            epsilon_milli=spec.epsilon_milli,
            least_persons=spec.least_persons,
            end_time=timestamp(spec.ends_at),
        ),
        terms_json=offer.terms.decode(),
        terms_sha256=hashlib.sha256(offer.terms).hexdigest() if offer.terms else "",
        dcat_json=json.dumps(offer.dcat) if offer.dcat else "",
        privacy=privacy_sentence(TOTALS_MILLI["BUYER"], TOTALS_MILLI["OFFER"]),
        publish_time=timestamp(offer.published_at),
        etag=str(offer.etag) if is_own else "",
    )


def _agreement(one: Agreement, call: Call) -> agreements_pb.Agreement:
    return agreements_pb.Agreement(
        agreement=str(one.id),
        offer=str(one.offer_id),
        offer_version=one.offer_version,
        is_seller=one.tenant_id == call.context.tenant_id,
        purpose=one.purpose,
        state=_state(one.state),
        reason=one.reason,
        price_minor=one.price_minor,
        currency=one.currency,
        incentive_micro=one.incentive_micro,
        data_revision=one.data_revision,
        create_time=timestamp(one.created_at),
        end_time=timestamp(one.expires_at),
        moves=[
            agreements_pb.AgreementMove(state=_state(move.state), actor=move.actor, time=timestamp(move.at))
            for move in one.moves
        ],
    )


def _state(state: str) -> Any:
    return agreements_pb.AgreementState.Value(f"AGREEMENT_STATE_{state}")


def _offer_state(state: str) -> Any:
    return offers_pb.OfferState.Value(f"OFFER_STATE_{state}")
