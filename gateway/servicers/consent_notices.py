"""ConsentService, notices: messages to the use cases, and back."""

from __future__ import annotations

from cohortlens.consent.models import Notice
from cohortlens.consent.notices import NoticesService
from cohortlens.v1 import consent_notices_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import identifier_of, timestamp


class ConsentNoticesServicer:
    """The RPCs of ``cohortlens.v1.ConsentService`` about notices.

    Args:
        notices: The use cases.
    """

    def __init__(self, notices: NoticesService) -> None:
        self._notices = notices

    async def PublishNotice(self, request: pb.PublishNoticeRequest, call: Call) -> pb.PublishNoticeResponse:
        """Publish a notice."""
        named = request.controller
        controller = {
            "name": named.name,
            "address": named.address,
            "contact": named.contact,
            "country": named.country,
            "storage_countries": list(named.storage_countries),
            "authority": named.authority,
            "rights_url": named.rights_url,
        }
        made = await self._notices.publish(
            call.context,
            request.name,
            request.version,
            request.locale,
            request.content,
            [(one.purpose, one.version) for one in request.purposes],
            controller,
        )
        return pb.PublishNoticeResponse(notice=_message(made))

    async def GetNotice(self, request: pb.GetNoticeRequest, call: Call) -> pb.GetNoticeResponse:  # noqa: ARG002
        """A notice, for whoever has its identifier."""
        found = await self._notices.get(identifier_of("notice", request.notice))
        return pb.GetNoticeResponse(notice=_message(found))


def _message(one: Notice) -> pb.Notice:
    return pb.Notice(
        notice=str(one.id),
        name=one.key,
        version=one.version,
        locale=one.locale,
        content=one.content,
        sha256=one.sha256.hex(),
        purposes=[pb.PurposeVersion(purpose=key, version=version) for key, version in one.purposes.items()],
        controller=pb.Controller(**one.controller),
        create_time=timestamp(one.created_at),
    )
