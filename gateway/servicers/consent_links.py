"""ConsentService, calls of persons by a link: the token in the body says who calls, and opens no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

from google.api import httpbody_pb2

from cohortlens.bootstrap.rights import Rights
from cohortlens.consent.acts import Act, ConsentActs, Evidence
from cohortlens.consent.history import ConsentHistory
from cohortlens.consent.links import LinkHolder
from cohortlens.consent.models import ActType, CollectionMethod, field_fault
from cohortlens.core.context import Principal, PrincipalKind, RequestContext
from cohortlens.core.ids import SessionId
from cohortlens.v1 import consent_acts_pb2
from cohortlens.v1 import consent_links_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import identifier_of, timestamp
from gateway.servicers.consent_reading import standing_message
from gateway.servicers.data_requests import ZIP, corrections_of, disposition, shown, type_of

_OWN = 50
_ACTS = {
    consent_acts_pb2.CONSENT_ACT_GIVEN: ActType.GIVEN,
    consent_acts_pb2.CONSENT_ACT_REAFFIRMED: ActType.REAFFIRMED,
    consent_acts_pb2.CONSENT_ACT_REFUSED: ActType.REFUSED,
    consent_acts_pb2.CONSENT_ACT_WITHDRAWN: ActType.WITHDRAWN,
}


class ConsentLinksServicer:
    """One method per RPC of links and of persons themselves.

    Args:
        rights: The use cases of links and of requests.
        acts: Those of decisions.
        history: Those that read decisions.
    """

    def __init__(self, rights: Rights, acts: ConsentActs, history: ConsentHistory) -> None:
        self._acts = acts
        self._history = history
        self._links = rights.links
        self._requests = rights.requests

    async def CreateConsentLink(
        self, request: pb.CreateConsentLinkRequest, call: Call
    ) -> pb.CreateConsentLinkResponse:
        """Make a link for a person."""
        made = await self._links.create(call.context, request.customer, request.page_url)
        return pb.CreateConsentLinkResponse(
            link=str(made.link_id), url=made.url, expire_time=timestamp(made.expires_at)
        )

    async def OpenConsentLink(
        self,
        request: pb.OpenConsentLinkRequest,
        call: Call,  # noqa: ARG002 - as every method
    ) -> pb.OpenConsentLinkResponse:
        """Exchange the secret of a link for a token."""
        opened = await self._links.open(request.secret)
        return pb.OpenConsentLinkResponse(token=opened.token, expire_time=timestamp(opened.expires_at))

    async def CreateOwnDataRequest(
        self,
        request: pb.CreateOwnDataRequestRequest,
        call: Call,  # noqa: ARG002 - as every method
    ) -> pb.CreateOwnDataRequestResponse:
        """Store a request of the person."""
        holder = await self._links.holder(request.token)
        stored = await self._requests.create_own(
            holder.tenant_id,
            holder.identity_id,
            holder.link_id,
            type_of(request.type),
            corrections=corrections_of(request.corrections),
            is_lifting=request.lifts,
        )
        return pb.CreateOwnDataRequestResponse(data_request=shown(stored))

    async def ListOwnDataRequests(
        self,
        request: pb.ListOwnDataRequestsRequest,
        call: Call,  # noqa: ARG002 - as every method
    ) -> pb.ListOwnDataRequestsResponse:
        """The person's requests."""
        holder = await self._links.holder(request.token)
        found = await self._requests.page_own(holder.tenant_id, holder.identity_id, _OWN)
        return pb.ListOwnDataRequestsResponse(data_requests=[shown(one) for one in found])

    async def DownloadOwnDataExport(
        self, request: pb.DownloadOwnDataExportRequest, call: Call
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """The file of one of the person's exports."""
        holder = await self._links.holder(request.token)
        request_id = identifier_of("data_request", request.data_request)
        pieces = await self._requests.content(holder.tenant_id, request_id, holder.identity_id)
        call.response_headers.append(disposition(request_id))
        async for piece in pieces:
            yield httpbody_pb2.HttpBody(content_type=ZIP, data=piece)

    async def GetOwnConsents(
        self, request: pb.GetOwnConsentsRequest, call: Call
    ) -> pb.GetOwnConsentsResponse:
        """How the person stands with every purpose."""
        holder = await self._links.holder(request.token)
        found = await self._history.of_identity(_as_person(call, holder), holder.identity_id)
        return pb.GetOwnConsentsResponse(consents=[standing_message(one) for one in found])

    async def RecordOwnConsent(
        self, request: pb.RecordOwnConsentRequest, call: Call
    ) -> pb.RecordOwnConsentResponse:
        """Record a decision of the person, made now."""
        kind = _ACTS.get(request.act)
        if kind is None:
            raise field_fault(
                "act", "must be a decision of a person: GIVEN, REAFFIRMED, REFUSED or WITHDRAWN"
            )
        holder = await self._links.holder(request.token)
        ctx = _as_person(call, holder)
        purposes = [(one.purpose, one.version) for one in request.purposes]
        done = await self._acts.record(
            ctx,
            Act(
                customer=await self._links.name_of(holder),
                type=kind,
                purposes=None if kind is ActType.WITHDRAWN and not purposes else purposes,
                notice_id=_notice(request.notice, kind),
                locale=request.locale,
                method=CollectionMethod.LINK,
                evidence=Evidence(address=ctx.address),
            ),
        )
        found = await self._history.of_identity(ctx, holder.identity_id)
        return pb.RecordOwnConsentResponse(
            consents=[standing_message(one) for one in found], receipt=str(done.receipt_id or "")
        )


def _notice(notice: str, kind: ActType) -> UUID | None:
    if notice:
        return identifier_of("notice", notice)
    if kind is ActType.GIVEN:
        raise field_fault("notice", "is needed to give consent: the notice that was shown")
    return None


def _as_person(call: Call, holder: LinkHolder) -> RequestContext:
    """The call with the person as its principal; they have no scope, and no other method knows them."""
    principal = Principal(
        holder.tenant_id,
        holder.link_id,
        SessionId(holder.link_id),
        "customer",
        frozenset(),
        PrincipalKind.CUSTOMER_LINK,
    )
    return replace(call.context, principal=principal)
