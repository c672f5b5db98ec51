"""``CredentialService`` of ``internal.v1``: convert, call, convert back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from prometheus_client import Counter

from cohortlens.core import clock
from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.core.telemetry import REGISTRY
from cohortlens.internal.v1 import web3_credentials_pb2 as pb
from cohortlens.internal.v1 import web3_credentials_pb2_grpc as rpc
from sidecars.web3.credentials import claims, suites
from sidecars.web3.credentials.area import CredentialsArea
from sidecars.web3.credentials.canonical import jcs
from sidecars.web3.credentials.issuer import AGREEMENT, CONSENT, Issued, Item, Operation, at_second
from sidecars.web3.credentials.keys import etag
from sidecars.web3.credentials.multikeys import ED25519, PublicKey
from sidecars.web3.credentials.reading import JsonObject, read_object
from sidecars.web3.credentials.refusals import Refusal, RefusedError
from sidecars.web3.journal.operations import request_digest

_VERIFIED = Counter(
    "web3_verify_total", "Verifications by their first reason, OK without one", ("reason",), registry=REGISTRY
)
_KINDS = {pb.CREDENTIAL_KIND_CONSENT: CONSENT, pb.CREDENTIAL_KIND_AGREEMENT: AGREEMENT}
_SUITES = {
    pb.CRYPTOSUITE_UNSPECIFIED: suites.RDFC,
    pb.CRYPTOSUITE_EDDSA_RDFC_2022: suites.RDFC,
    pb.CRYPTOSUITE_EDDSA_JCS_2022: suites.JCS,
}
_SUITE_OF = {
    suites.RDFC: pb.CRYPTOSUITE_EDDSA_RDFC_2022,
    suites.JCS: pb.CRYPTOSUITE_EDDSA_JCS_2022,
}
_REASON_CHARS = 64


class _Mutating(Protocol):
    """What every mutating request has."""

    tenant_id: bytes
    operation_id: bytes

    def SerializeToString(self, *, deterministic: bool) -> bytes: ...


class CredentialServicer(rpc.CredentialServiceServicer):
    """Answers for credentials.

    Args:
        area: Does the work.
    """

    def __init__(self, area: CredentialsArea) -> None:
        self._area = area

    async def IssueCredentials(self, request: pb.IssueCredentialsRequest, _context: Any) -> Any:
        """Issue credentials, all or none."""
        items = [_item(f"items[{at}]", item) for at, item in enumerate(request.items)]
        answer = await self._area.issuer.issue(_operation("IssueCredentials", request), items, _issued)
        return pb.IssueCredentialsResponse.FromString(answer)

    async def RevokeCredential(self, request: pb.RevokeCredentialRequest, _context: Any) -> Any:
        """Set the status bit of a credential."""
        reason = request.reason_code
        if not (reason and len(reason) <= _REASON_CHARS and reason.replace("_", "").isalnum()):
            raise _invalid("reason_code", f"must be 1 to {_REASON_CHARS} letters, digits and _")
        answer = await self._area.issuer.revoke(
            _operation("RevokeCredential", request),
            _id(request.credential_id, "credential_id"),
            reason,
            _revoked,
        )
        return pb.RevokeCredentialResponse.FromString(answer)

    async def VerifyCredential(
        self, request: pb.VerifyCredentialRequest, _context: Any
    ) -> pb.VerifyCredentialResponse:
        """Verify any credential."""
        now = at_second(request.now_s) if request.now_s > 0 else clock.now()
        statuses = None if request.skip_status else self._area.statuses
        found = await self._area.verifier.verify(request.credential_json, now, statuses)
        _VERIFIED.labels(found.refusals[0].reason if found.refusals else "OK").inc()
        answer = pb.VerifyCredentialResponse(
            verified=found.is_verified, refusals=_refusals(found.refusals), status=found.status
        )
        if found.form is not None:
            answer.issuer_did = found.form.issuer
            answer.types.extend(found.form.types)
            answer.valid_from_s = _second(found.form.valid_from)
            answer.valid_until_s = _second(found.form.valid_until)
        return answer

    async def SignDocument(self, request: pb.SignDocumentRequest, _context: Any) -> Any:
        """Sign a document that is no credential."""

        def read(did: str) -> JsonObject:
            if request.kind == pb.DOCUMENT_KIND_RECEIPT:
                return claims.read_document(request.json, claims.RECEIPT, did)
            if request.kind == pb.DOCUMENT_KIND_CHECKPOINT:
                return claims.read_document(request.json, claims.CHECKPOINT, did)
            return claims.read_terms(request.json, did)

        if request.kind not in pb.DocumentKind.values() or request.kind == pb.DOCUMENT_KIND_UNSPECIFIED:
            raise _invalid("kind", "must be a kind of document")
        answer = await self._area.issuer.sign_document(
            _operation("SignDocument", request), read, _signed_document
        )
        return pb.SignDocumentResponse.FromString(answer)

    async def VerifyDocument(
        self, request: pb.VerifyDocumentRequest, _context: Any
    ) -> pb.VerifyDocumentResponse:
        """Verify a signed document that is no credential."""
        try:
            document = read_object(request.signed_json)
            issuer = document.get("issuer")
            if not isinstance(issuer, str):
                raise RefusedError("VC_MALFORMED", "It names no issuer.")
            did = await self._area.verifier.check_proofs(document, clock.now(), issuer)
        except RefusedError as refused:
            return pb.VerifyDocumentResponse(verified=False, refusals=_refusals((refused.refusal,)))
        return pb.VerifyDocumentResponse(verified=True, issuer_did=did)

    async def RotateIssuerKey(self, request: pb.RotateIssuerKeyRequest, _context: Any) -> Any:
        """Replace the active key."""
        if request.reason not in (pb.ROTATION_REASON_ROUTINE, pb.ROTATION_REASON_COMPROMISED):
            raise _invalid("reason", "must be ROUTINE or COMPROMISED")
        answer = await self._area.issuer.rotate(
            _operation("RotateIssuerKey", request),
            compromised=request.reason == pb.ROTATION_REASON_COMPROMISED,
            encode=_rotated,
        )
        return pb.RotateIssuerKeyResponse.FromString(answer)

    async def GetIssuer(self, request: pb.GetIssuerRequest, _context: Any) -> pb.GetIssuerResponse:
        """Show the issuer of a tenant and its keys."""
        issuer, keys = await self._area.issuers.keys(_id(request.tenant_id, "tenant_id"), clock.now())
        shown = [
            pb.IssuerKey(
                kid=key.kid,
                did=key.did,
                state=key.state,
                not_before_s=_second(key.not_before),
                not_after_s=_second(key.not_after),
                public_key_multibase=PublicKey(ED25519, key.public_key).multibase,
            )
            for key in keys
        ]
        return pb.GetIssuerResponse(did=keys[0].did, issuer_id=issuer.issuer_id.bytes, keys=shown)

    async def GetDidDocument(
        self, request: pb.GetDidDocumentRequest, _context: Any
    ) -> pb.GetDidDocumentResponse:
        """Show the DID document of an issuer, or of the deployment."""
        issuer_id = _id(request.issuer_id, "issuer_id") if request.issuer_id else None
        document, version = await self._area.issuers.document(issuer_id, clock.now())
        body = jcs(document)
        shown = pb.PublishedDocument(body=body, version=version, etag=etag(body))
        return pb.GetDidDocumentResponse(document=shown)

    async def GetStatusList(
        self, request: pb.GetStatusListRequest, _context: Any
    ) -> pb.GetStatusListResponse:
        """Show the newest published version of a status list."""
        found = await self._area.lists.published(_id(request.status_list_id, "status_list_id"))
        shown = pb.PublishedDocument(
            body=found.body,
            version=found.version,
            etag=etag(found.body),
            valid_until_s=_second(found.until),
        )
        return pb.GetStatusListResponse(document=shown)


def _operation(method: str, request: _Mutating) -> Operation:
    return Operation(
        _id(request.tenant_id, "tenant_id"),
        _id(request.operation_id, "operation_id"),
        request_digest(method, request.SerializeToString(deterministic=True)),
    )


def _item(field: str, item: pb.CredentialItem) -> Item:
    if item.kind not in _KINDS:
        raise _invalid(f"{field}.kind", "must be a kind of credential")
    if item.suite not in _SUITES:
        raise _invalid(f"{field}.suite", "must be a known suite, or left out")
    return Item(
        source_id=_id(item.source_id, f"{field}.source_id"),
        kind=_KINDS[item.kind],
        claims=item.claims_json,
        subject_id=_id(item.subject_id, f"{field}.subject_id"),
        valid_until=_given_second(item.valid_until_s, f"{field}.valid_until_s"),
        holder_did=item.holder_did,
        suite=_SUITES[item.suite],
    )


def _given_second(seconds: int, field: str) -> datetime | None:
    try:
        return at_second(seconds) if seconds else None
    except (ValueError, OverflowError, OSError):
        raise _invalid(field, "must be seconds since 1970") from None


def _issued(credentials: list[Issued]) -> bytes:
    shown = [
        pb.IssuedCredential(
            source_id=one.row.source_id.bytes,
            credential_id=one.row.credential_id.bytes,
            credential_json=one.row.document,
            sha256=hashlib.sha256(one.row.document or b"").digest(),
            issuer_did=one.issuer_did,
            status_list_id=one.row.list_id.bytes,
            status_index=one.row.status_index,
            valid_from_s=_second(one.row.issued_at),
            valid_until_s=_second(one.row.valid_until),
            suite=_SUITE_OF[one.row.suite],
        )
        for one in credentials
    ]
    return pb.IssueCredentialsResponse(credentials=shown).SerializeToString(deterministic=True)


def _revoked(version: int, at: datetime) -> bytes:
    answer = pb.RevokeCredentialResponse(list_version=version, published_at_us=int(at.timestamp() * 1e6))
    return answer.SerializeToString(deterministic=True)


def _rotated(kid: str, did: str, revoked: list[UUID]) -> bytes:
    ids = [one.bytes for one in revoked]
    answer = pb.RotateIssuerKeyResponse(kid=kid, did=did, revoked_credential_ids=ids)
    return answer.SerializeToString(deterministic=True)


def _signed_document(body: bytes) -> bytes:
    answer = pb.SignDocumentResponse(signed_json=body, sha256=hashlib.sha256(body).digest())
    return answer.SerializeToString(deterministic=True)


def _refusals(refusals: Sequence[Refusal]) -> list[pb.Refusal]:
    return [pb.Refusal(reason=one.reason, detail=one.detail, proof_index=one.proof_index) for one in refusals]


def _second(at: datetime | None) -> int:
    return int(at.timestamp()) if at is not None else 0


def _id(value: bytes, field: str) -> UUID:
    if len(value) != 16:
        raise _invalid(field, "must be 16 bytes")
    return UUID(bytes=value)


def _invalid(field: str, fault: str) -> InvalidArgument:
    return InvalidArgument(f"{field} {fault}.", violations=(Violation(field, fault),))
