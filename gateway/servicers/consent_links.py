"""ConsentService, calls of persons by a link: the token in the body says who calls, and opens no other."""

from __future__ import annotations

from collections.abc import AsyncIterator

from google.api import httpbody_pb2

from cohortlens.bootstrap.rights import Rights
from cohortlens.v1 import consent_links_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import identifier_of, timestamp
from gateway.servicers.data_requests import ZIP, corrections_of, disposition, shown, type_of

_OWN = 50


class ConsentLinksServicer:
    """One method per RPC of links and of persons themselves.

    Args:
        rights: The use cases.
    """

    def __init__(self, rights: Rights) -> None:
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
