"""ConsentService, decisions: messages to the use cases, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from cohortlens.consent.acts import Act, ConsentActs, Evidence, Recorded
from cohortlens.consent.history import ConsentHistory, Standing
from cohortlens.consent.models import ActType, CollectionMethod, ConsentState, field_fault
from cohortlens.consent.signals import GOOGLE_PURPOSES, Signals
from cohortlens.v1 import consent_acts_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import identifier_of
from gateway.servicers.consent_reading import standing_message

_METHOD, _ACT = "COLLECTION_METHOD_", "CONSENT_ACT_"
_COLLECTED = frozenset(
    {
        CollectionMethod.FORM,
        CollectionMethod.BANNER,
        CollectionMethod.API,
        CollectionMethod.LINK,
        CollectionMethod.SIGNAL,
    }
)
_DECIDED = frozenset({ActType.GIVEN, ActType.REAFFIRMED, ActType.REFUSED, ActType.WITHDRAWN})
_GPC_HEADER = "sec-gpc"


class ConsentActsServicer:
    """The RPCs of ``cohortlens.v1.ConsentService`` that record decisions.

    Args:
        acts: The use cases of decisions.
        history: The use cases that read them.
    """

    def __init__(self, acts: ConsentActs, history: ConsentHistory) -> None:
        self._acts = acts
        self._history = history

    async def GrantConsent(self, request: pb.GrantConsentRequest, call: Call) -> pb.GrantConsentResponse:
        """Record that a customer gives consent."""
        done: pb.GrantConsentResponse = await self._recorded(
            pb.GrantConsentResponse, request, call, ActType.GIVEN
        )
        return done

    async def RefuseConsent(self, request: pb.RefuseConsentRequest, call: Call) -> pb.RefuseConsentResponse:
        """Record that a customer refuses consent."""
        done: pb.RefuseConsentResponse = await self._recorded(
            pb.RefuseConsentResponse, request, call, ActType.REFUSED
        )
        return done

    async def WithdrawConsent(
        self, request: pb.WithdrawConsentRequest, call: Call
    ) -> pb.WithdrawConsentResponse:
        """Record that a customer withdraws consent."""
        done: pb.WithdrawConsentResponse = await self._recorded(
            pb.WithdrawConsentResponse, request, call, ActType.WITHDRAWN
        )
        return done

    async def ReaffirmConsent(
        self, request: pb.ReaffirmConsentRequest, call: Call
    ) -> pb.ReaffirmConsentResponse:
        """Record that a customer confirms a consent."""
        done: pb.ReaffirmConsentResponse = await self._recorded(
            pb.ReaffirmConsentResponse, request, call, ActType.REAFFIRMED
        )
        return done

    async def BatchRecordConsents(
        self, request: pb.BatchRecordConsentsRequest, call: Call
    ) -> pb.BatchRecordConsentsResponse:
        """Record decisions of many customers."""
        acts = []
        for place, one in enumerate(request.records):
            path = f"records[{place}]."
            kind = _enumerated(pb.ConsentAct, _ACT, ActType, _DECIDED, f"{path}act", one.act)
            acts.append(act_of(one, kind, path))
        done = await self._acts.record_batch(call.context, acts)
        return pb.BatchRecordConsentsResponse(
            events=sum(len(one.events) for one in done),
            receipts=[str(one.receipt_id or "") for one in done],
        )

    async def RereadBatchRecordConsents(
        self,
        request: pb.BatchRecordConsentsRequest,  # noqa: ARG002 - as every reading
        made: Mapping[str, Any],
        call: Call,  # noqa: ARG002 - likewise
    ) -> pb.BatchRecordConsentsResponse:
        """The answer of a batch that was recorded before."""
        return pb.BatchRecordConsentsResponse(events=made["events"], receipts=made["receipt_ids"])

    async def RereadGrantConsent(self, request: Any, made: Mapping[str, Any], call: Call) -> Any:  # noqa: ARG002
        """How the customer stands after a decision that was recorded before."""
        return await self._reread(pb.GrantConsentResponse, made, call)

    async def RereadRefuseConsent(self, request: Any, made: Mapping[str, Any], call: Call) -> Any:  # noqa: ARG002
        """As ``RereadGrantConsent``."""
        return await self._reread(pb.RefuseConsentResponse, made, call)

    async def RereadWithdrawConsent(self, request: Any, made: Mapping[str, Any], call: Call) -> Any:  # noqa: ARG002
        """As ``RereadGrantConsent``."""
        return await self._reread(pb.WithdrawConsentResponse, made, call)

    async def RereadReaffirmConsent(self, request: Any, made: Mapping[str, Any], call: Call) -> Any:  # noqa: ARG002
        """As ``RereadGrantConsent``."""
        return await self._reread(pb.ReaffirmConsentResponse, made, call)

    async def _recorded(self, reply: Any, request: Any, call: Call, kind: ActType) -> Any:
        signals = _signals(request, call) if kind in (ActType.GIVEN, ActType.REFUSED) else None
        done: Recorded = await self._acts.record(call.context, act_of(request, kind), signals)
        who = done.identity
        shown = [
            Standing(
                one.purpose_key,
                ConsentState(one.state),
                one.since,
                one.expires_at,
                one.purpose_version,
                one.event_id,
                one.version,
                one.receipt_id,
                one.notice_version,
                who.id,
                who.customer_id,
                "" if who.erased_at else who.external_id,
            )
            for one in done.standing
        ]
        return reply(consents=[standing_message(one) for one in shown], receipt=str(done.receipt_id or ""))

    async def _reread(self, reply: Any, made: Mapping[str, Any], call: Call) -> Any:
        shown = await self._history.of_identity(call.context, UUID(made["identity"]), made["decided"])
        return reply(consents=[standing_message(one) for one in shown], receipt=made["receipt"])


def act_of(message: Any, kind: ActType, path: str = "") -> Act:
    """A decision as a message asks for it.

    Args:
        message: A request of one decision, or a record of a batch.
        kind: What was decided.
        path: What stands before its fields in the request.

    Raises:
        InvalidArgument: FIELD_INVALID.
    """
    fields = message.DESCRIPTOR.fields_by_name
    notice = message.notice if "notice" in fields else ""
    purposes = [(one.purpose, one.version) for one in message.purposes]
    is_all = kind is ActType.WITHDRAWN and not purposes
    evidence = message.evidence
    return Act(
        customer=message.customer,
        type=kind,
        purposes=None if is_all else purposes,
        notice_id=identifier_of(f"{path}notice", notice) if notice else None,
        locale=message.locale if "locale" in fields else "",
        method=_enumerated(
            pb.CollectionMethod, _METHOD, CollectionMethod, _COLLECTED, f"{path}method", message.method
        )
        or CollectionMethod.API,
        collected_at=_time(message),
        evidence=Evidence(evidence.address, evidence.user_agent, evidence.url),
        path=path,
    )


def _time(message: Any) -> datetime | None:
    if not message.HasField("collect_time"):
        return None
    found: datetime = message.collect_time.ToDatetime(UTC)
    return found


def _signals(request: Any, call: Call) -> Signals:
    said = {name: getattr(request.signals, name) for name in GOOGLE_PURPOSES}
    google = {name: value == pb.GOOGLE_CONSENT_GRANTED for name, value in said.items() if value}
    by_header = "1" in call.metadata.values(_GPC_HEADER)
    return Signals(request.signals.gpc or by_header, google)


def _enumerated(
    numbers: Any, prefix: str, kind: Any, allowed: frozenset[Any], field: str, number: int
) -> Any:
    if not number:
        return None
    name = numbers.Name(number).removeprefix(prefix) if number in numbers.values() else ""
    if name not in allowed:
        names = ", ".join(prefix + one for one in sorted(allowed))
        raise field_fault(field, f"must be one of {names}")
    return kind(name)
