"""ConsentService, checks: who may be used for what, and the stream of changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from cohortlens.consent.checks import ConsentChecks
from cohortlens.consent.watch import ConsentWatch
from cohortlens.v1 import consent_checks_pb2 as pb
from gateway.interceptors.chain import Call


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
        """Changes from a version on."""
        async for message in self._watch.follow(call.context, request.from_version):
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
            )
