"""ConsentService, checks: who may be used for what, and the stream of changes."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Final

from cohortlens.consent.checks import ConsentChecks
from cohortlens.consent.models import field_fault
from cohortlens.consent.watch import ConsentWatch
from cohortlens.v1 import consent_checks_pb2 as pb
from gateway.interceptors.chain import Call

_TOKEN: Final = re.compile(r"[0-9]{1,18}")


class ConsentChecksServicer:
    """The RPCs of ``cohortlens.v1.ConsentService`` that ask what is allowed.

    Args:
        checks: Answers about many customers.
        watch: Follows changes.
    """

    def __init__(self, checks: ConsentChecks, watch: ConsentWatch) -> None:
        self._checks = checks
        self._watch = watch

    async def BatchCheckConsent(
        self, request: pb.BatchCheckConsentRequest, call: Call
    ) -> pb.BatchCheckConsentResponse:
        """Who may be used for each purpose and activity."""
        found = await self._checks.check(
            call.context, request.customers, request.purposes, request.activities
        )
        return pb.BatchCheckConsentResponse(
            checks=[
                pb.ConsentCheck(
                    purpose=one.purpose,
                    activity=one.activity,
                    allowed=one.allowed,
                    allowed_count=one.allowed_count,
                )
                for one in found.checks
            ],
            consent_version=found.version,
        )

    async def WatchConsents(
        self, request: pb.WatchConsentsRequest, call: Call
    ) -> AsyncGenerator[pb.WatchConsentsResponse, None]:
        """Changes from a version on; raises InvalidArgument for a token that is none of ours."""
        async for message in self._watch.follow(call.context, _begin(request)):
            yield pb.WatchConsentsResponse(
                changes=[
                    pb.ConsentChange(
                        identity=str(one.identity_id),
                        customer="" if one.customer_id is None else str(one.customer_id),
                        purpose=one.purpose,
                        allowed=one.allowed,
                        version=one.version,
                    )
                    for one in message.changes
                ],
                consent_version=message.version,
                resume_token=str(message.version),
            )


def _begin(request: pb.WatchConsentsRequest) -> int:
    """The version behind which to begin."""
    token = request.resume_token
    if not token:
        return request.from_version
    if not _TOKEN.fullmatch(token):
        raise field_fault("resume_token", "must be the resume_token of an earlier message")
    return int(token)
