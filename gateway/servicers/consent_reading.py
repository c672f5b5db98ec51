"""ConsentService, reading: how customers stand, what was recorded, and the receipts of it."""

from __future__ import annotations

import base64
import json
from datetime import UTC
from typing import Any
from uuid import UUID

from cohortlens.consent.history import ConsentHistory, RecordedEvent, Standing
from cohortlens.consent.receipts import Receipts
from cohortlens.core.paging import PageTokens
from cohortlens.v1 import consent_acts_pb2 as pb
from cohortlens.v1 import consent_receipts_pb2 as receipts_pb2
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import identifier_of, timestamp
from gateway.servicers.paging import read_page

_STATE, _ACT, _METHOD = "CONSENT_STATE_", "CONSENT_ACT_", "COLLECTION_METHOD_"


class ConsentReadingServicer:
    """The RPCs of ``cohortlens.v1.ConsentService`` that read decisions and receipts.

    Args:
        history: The use cases that read decisions.
        receipts: The use cases of receipts.
        tokens: Seals the tokens of lists.
    """

    def __init__(self, history: ConsentHistory, receipts: Receipts, tokens: PageTokens) -> None:
        self._history = history
        self._receipts = receipts
        self._tokens = tokens

    async def GetConsent(self, request: pb.GetConsentRequest, call: Call) -> pb.GetConsentResponse:
        """How a customer stands with every purpose."""
        at = request.at.ToDatetime(UTC) if request.HasField("at") else None
        customer = identifier_of("customer", request.customer)
        found = await self._history.of_customer(call.context, customer, at)
        return pb.GetConsentResponse(consents=[standing_message(one) for one in found])

    async def ListConsents(self, request: pb.ListConsentsRequest, call: Call) -> pb.ListConsentsResponse:
        """How customers stand, by person and purpose."""
        state = pb.ConsentState.Name(request.state).removeprefix(_STATE) if request.state else ""

        async def read(cursor: Any, limit: int) -> list[Standing]:
            after = None if cursor is None else (UUID(cursor[0]), cursor[1])
            return await self._history.page(call.context, request.purpose, state, after, limit)

        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListConsents",
            {"purpose": request.purpose, "state": state},
            request,
            read,
            lambda one: [str(one.identity_id), one.purpose_key],
        )
        return pb.ListConsentsResponse(
            consents=[standing_message(one) for one in rows], next_page_token=following
        )

    async def ListConsentEvents(
        self, request: pb.ListConsentEventsRequest, call: Call
    ) -> pb.ListConsentEventsResponse:
        """Acts, newest first."""
        customer = identifier_of("customer", request.customer) if request.customer else None

        async def read(cursor: Any, limit: int) -> list[RecordedEvent]:
            before = None if cursor is None else int(cursor)
            return await self._history.events(call.context, customer, request.purpose, before, limit)

        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListConsentEvents",
            {"customer": request.customer, "purpose": request.purpose},
            request,
            read,
            lambda one: one.row.place,
        )
        return pb.ListConsentEventsResponse(events=[_event(one) for one in rows], next_page_token=following)

    async def GetReceipt(
        self, request: receipts_pb2.GetReceiptRequest, call: Call
    ) -> receipts_pb2.GetReceiptResponse:
        """The receipt of a decision."""
        found = await self._receipts.get(call.context, identifier_of("receipt", request.receipt))
        return receipts_pb2.GetReceiptResponse(
            receipt=str(found.id), record_json=found.record.decode(), signature=found.signature
        )

    async def VerifyReceipt(
        self,
        request: receipts_pb2.VerifyReceiptRequest,
        call: Call,  # noqa: ARG002 - as every method
    ) -> receipts_pb2.VerifyReceiptResponse:
        """Whether a receipt is genuine and still stands."""
        found = await self._receipts.verify(request.record_json, request.signature)
        return receipts_pb2.VerifyReceiptResponse(
            valid=found.valid,
            revoked=found.revoked,
            superseded_by=str(found.superseded_by or ""),
            reason=found.reason,
        )

    async def ListReceiptKeys(
        self,
        request: receipts_pb2.ListReceiptKeysRequest,  # noqa: ARG002 - as every method
        call: Call,  # noqa: ARG002 - likewise
    ) -> receipts_pb2.ListReceiptKeysResponse:
        """The public keys of receipts."""
        keys = [
            receipts_pb2.ReceiptKey(kid=kid, jwk_json=json.dumps(_jwk(kid, raw)))
            for kid, raw in await self._receipts.public_keys()
        ]
        return receipts_pb2.ListReceiptKeysResponse(keys=keys)


def standing_message(one: Standing) -> pb.CustomerConsent:
    """How a customer stands, as the API shows it."""
    return pb.CustomerConsent(
        purpose=one.purpose_key,
        state=_STATE + one.state.value,
        since=None if one.since is None else timestamp(one.since),
        expire_time=None if one.expires_at is None else timestamp(one.expires_at),
        purpose_version=one.purpose_version,
        consent_event=str(one.event_id or ""),
        customer=pb.ConsentCustomer(customer=str(one.customer_id or ""), external_id=one.external_id),
        consent_version=one.version,
        notice_version=one.notice_version,
        receipt=str(one.receipt_id or ""),
    )


def _event(one: RecordedEvent) -> pb.ConsentEvent:
    row = one.row
    return pb.ConsentEvent(
        consent_event=str(row.id),
        customer=pb.ConsentCustomer(customer=str(one.customer_id or ""), external_id=one.external_id),
        purpose=row.purpose_key,
        purpose_version=row.purpose_version,
        act=_ACT + row.type,
        collect_time=timestamp(row.collected_at),
        record_time=timestamp(row.created_at),
        expire_time=None if row.expires_at is None else timestamp(row.expires_at),
        method=_METHOD + row.method,
        actor=row.actor,
        locale=row.locale,
        notice=str(row.notice_id or ""),
        notice_sha256=row.notice_sha256.hex() if row.notice_sha256 else "",
        receipt=str(row.receipt_id or ""),
        previous_event=str(row.prev_event_id or ""),
        evidence=pb.ConsentEvidence(**one.evidence),
    )


def _jwk(kid: str, raw: bytes) -> dict[str, str]:
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "alg": "EdDSA", "use": "sig"}
