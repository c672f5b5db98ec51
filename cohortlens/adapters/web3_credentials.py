"""``CredentialIssuer`` over the web3 sidecar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import orjson

from cohortlens.adapters.web3_channel import Web3Channel, at_microsecond, at_second, identifier
from cohortlens.consent.web3_models import (
    CredentialKind,
    CredentialOrder,
    Cryptosuite,
    DocumentKind,
    IssuedCredential,
    Issuer,
    IssuerKey,
    PublishedDocument,
    Refusal,
    Revocation,
    RotatedKey,
    SignedDocument,
    Verification,
)
from cohortlens.core.ids import TenantId
from cohortlens.internal.v1 import web3_credentials_pb2 as pb
from cohortlens.internal.v1 import web3_credentials_pb2_grpc as rpc

_EPOCH = datetime.fromtimestamp(0, UTC)
_KINDS = {
    CredentialKind.CONSENT: pb.CREDENTIAL_KIND_CONSENT,
    CredentialKind.AGREEMENT: pb.CREDENTIAL_KIND_AGREEMENT,
}
_SUITES = {
    Cryptosuite.RDFC: pb.CRYPTOSUITE_EDDSA_RDFC_2022,
    Cryptosuite.JCS: pb.CRYPTOSUITE_EDDSA_JCS_2022,
}
_SUITE_OF = {value: suite for suite, value in _SUITES.items()}
_DOCUMENTS = {
    DocumentKind.RECEIPT: pb.DOCUMENT_KIND_RECEIPT,
    DocumentKind.CHECKPOINT: pb.DOCUMENT_KIND_CHECKPOINT,
    DocumentKind.OFFER_TERMS: pb.DOCUMENT_KIND_OFFER_TERMS,
}


class GrpcCredentialIssuer:
    """Implements ``cohortlens.consent.ports.CredentialIssuer``; see there.

    Args:
        channel: The channel to the sidecar.
    """

    def __init__(self, channel: Web3Channel) -> None:
        self._channel = channel

    @property
    def _stub(self) -> rpc.CredentialServiceStub:
        return rpc.CredentialServiceStub(self._channel.channel)

    async def issue(
        self, tenant_id: TenantId, operation_id: UUID, orders: Sequence[CredentialOrder]
    ) -> list[IssuedCredential]:
        """See the port."""
        request = pb.IssueCredentialsRequest(
            tenant_id=tenant_id.bytes, operation_id=operation_id.bytes, items=[_item(o) for o in orders]
        )
        reply = await self._channel.ask(self._stub.IssueCredentials, request)
        return [_issued(credential) for credential in reply.credentials]

    async def revoke(
        self, tenant_id: TenantId, operation_id: UUID, credential_id: UUID, reason_code: str
    ) -> Revocation:
        """See the port."""
        request = pb.RevokeCredentialRequest(
            tenant_id=tenant_id.bytes,
            operation_id=operation_id.bytes,
            credential_id=credential_id.bytes,
            reason_code=reason_code,
        )
        reply = await self._channel.ask(self._stub.RevokeCredential, request)
        return Revocation(reply.list_version, at_microsecond(reply.published_at_us) or _EPOCH)

    async def verify(self, credential_json: bytes, *, skip_status: bool = False) -> Verification:
        """See the port."""
        request = pb.VerifyCredentialRequest(credential_json=credential_json, skip_status=skip_status)
        reply = await self._channel.ask(self._stub.VerifyCredential, request)
        return Verification(
            reply.verified,
            _refusals(reply.refusals),
            reply.issuer_did,
            tuple(reply.types),
            at_second(reply.valid_from_s),
            at_second(reply.valid_until_s),
            reply.status,
        )

    async def sign_document(
        self, tenant_id: TenantId, operation_id: UUID, kind: DocumentKind, document: Mapping[str, object]
    ) -> SignedDocument:
        """See the port."""
        request = pb.SignDocumentRequest(
            tenant_id=tenant_id.bytes,
            operation_id=operation_id.bytes,
            kind=_DOCUMENTS[kind],
            json=orjson.dumps(document),
        )
        reply = await self._channel.ask(self._stub.SignDocument, request)
        return SignedDocument(reply.signed_json, reply.sha256)

    async def verify_document(self, signed_json: bytes) -> Verification:
        """See the port."""
        request = pb.VerifyDocumentRequest(signed_json=signed_json)
        reply = await self._channel.ask(self._stub.VerifyDocument, request)
        return Verification(reply.verified, _refusals(reply.refusals), reply.issuer_did)

    async def issuer(self, tenant_id: TenantId) -> Issuer:
        """See the port."""
        request = pb.GetIssuerRequest(tenant_id=tenant_id.bytes)
        reply = await self._channel.ask(self._stub.GetIssuer, request)
        return Issuer(reply.did, identifier(reply.issuer_id), tuple(_key(key) for key in reply.keys))

    async def rotate_key(self, tenant_id: TenantId, operation_id: UUID, *, compromised: bool) -> RotatedKey:
        """See the port."""
        reason = pb.ROTATION_REASON_COMPROMISED if compromised else pb.ROTATION_REASON_ROUTINE
        request = pb.RotateIssuerKeyRequest(
            tenant_id=tenant_id.bytes, operation_id=operation_id.bytes, reason=reason
        )
        reply = await self._channel.ask(self._stub.RotateIssuerKey, request)
        revoked = tuple(identifier(value) for value in reply.revoked_credential_ids)
        return RotatedKey(reply.kid, reply.did, revoked)

    async def did_document(self, issuer_id: UUID | None) -> PublishedDocument:
        """See the port."""
        request = pb.GetDidDocumentRequest(issuer_id=issuer_id.bytes if issuer_id is not None else b"")
        return _published((await self._channel.ask(self._stub.GetDidDocument, request)).document)

    async def status_list(self, status_list_id: UUID) -> PublishedDocument:
        """See the port."""
        request = pb.GetStatusListRequest(status_list_id=status_list_id.bytes)
        return _published((await self._channel.ask(self._stub.GetStatusList, request)).document)


def _item(order: CredentialOrder) -> pb.CredentialItem:
    return pb.CredentialItem(
        source_id=order.source_id.bytes,
        kind=_KINDS[order.kind],
        claims_json=orjson.dumps(order.claims),
        subject_id=order.subject_id.bytes,
        valid_until_s=int(order.valid_until.timestamp()) if order.valid_until is not None else 0,
        holder_did=order.holder_did or "",
        suite=_SUITES[order.suite] if order.suite is not None else pb.CRYPTOSUITE_UNSPECIFIED,
    )


def _issued(reply: pb.IssuedCredential) -> IssuedCredential:
    return IssuedCredential(
        source_id=identifier(reply.source_id),
        credential_id=identifier(reply.credential_id),
        credential_json=reply.credential_json,
        sha256=reply.sha256,
        issuer_did=reply.issuer_did,
        suite=_SUITE_OF[reply.suite],
        status_list_id=identifier(reply.status_list_id),
        status_index=reply.status_index,
        valid_from=at_second(reply.valid_from_s) or _EPOCH,
        valid_until=at_second(reply.valid_until_s) or _EPOCH,
    )


def _refusals(replies: Sequence[pb.Refusal]) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(reply.reason, reply.detail, reply.proof_index if reply.proof_index >= 0 else None)
        for reply in replies
    )


def _key(reply: pb.IssuerKey) -> IssuerKey:
    return IssuerKey(
        kid=reply.kid,
        did=reply.did,
        state=reply.state,
        not_before=at_second(reply.not_before_s) or _EPOCH,
        not_after=at_second(reply.not_after_s),
        public_key_multibase=reply.public_key_multibase,
    )


def _published(reply: pb.PublishedDocument) -> PublishedDocument:
    return PublishedDocument(reply.body, reply.version, reply.etag, at_second(reply.valid_until_s))
