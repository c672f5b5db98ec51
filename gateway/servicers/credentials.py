"""ConsentService, credentials and what follows a consent: messages to the use cases, and back."""

# ruff: noqa: ARG002 - the methods of a servicer are named like its RPCs and take the same arguments

from __future__ import annotations

from collections.abc import Iterable

from google.api import httpbody_pb2

from cohortlens.consent.credentials import Credential, Credentials
from cohortlens.consent.models import field_fault
from cohortlens.consent.progress import ConsentProgress, Opening, Progress
from cohortlens.consent.web3_models import PublishedDocument, Refusal
from cohortlens.core import clock
from cohortlens.core.paging import PageTokens
from cohortlens.v1 import credentials_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import identifier_of, timestamp
from gateway.servicers.paging import read_page
from gateway.servicers.published import Documents

VC_TYPE = "application/vc"
DID_TYPE = "application/did+json"
_STATE = "CREDENTIAL_STATE_"


class CredentialsServicer:
    """The RPCs of ``cohortlens.v1.ConsentService`` about credentials, issuers and pinned receipts.

    Args:
        credentials: The use cases of credentials.
        progress: What followed a consent.
        tokens: Seals the tokens of lists.
        documents: Keeps the last good copy of public documents while the sidecar is away.
    """

    def __init__(
        self,
        credentials: Credentials,
        progress: ConsentProgress,
        tokens: PageTokens,
        documents: Documents,
    ) -> None:
        self._credentials, self._progress, self._tokens = credentials, progress, tokens
        self._documents = documents

    async def GetCredential(self, request: pb.GetCredentialRequest, call: Call) -> pb.GetCredentialResponse:
        """One credential with its signed text."""
        found = await self._credentials.get(call.context, identifier_of("credential", request.credential))
        return pb.GetCredentialResponse(credential=_credential(found))

    async def DownloadCredential(
        self, request: pb.DownloadCredentialRequest, call: Call
    ) -> httpbody_pb2.HttpBody:
        """The signed bytes as they are."""
        found = await self._credentials.get(call.context, identifier_of("credential", request.credential))
        if found.credential_json is None:
            raise field_fault("credential", "its text was erased with the customer")
        return httpbody_pb2.HttpBody(content_type=VC_TYPE, data=found.credential_json)

    async def ListCredentials(
        self, request: pb.ListCredentialsRequest, call: Call
    ) -> pb.ListCredentialsResponse:
        """Credentials, the newest first."""
        state = pb.CredentialState.Name(request.state).removeprefix(_STATE) if request.state else ""
        filters = {"customer": request.customer, "purpose": request.purpose, "state": state}
        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListCredentials",
            filters,
            request,
            lambda after, limit: self._credentials.page(
                call.context, request.customer, request.purpose, state, after, limit
            ),
            lambda row: str(row.id),
        )
        return pb.ListCredentialsResponse(
            credentials=[_credential(row) for row in rows], next_page_token=following
        )

    async def VerifyCredential(
        self, request: pb.VerifyCredentialRequest, call: Call
    ) -> pb.VerifyCredentialResponse:
        """Whether a credential of anybody is to be believed, and why not."""
        found = await self._credentials.verify(request.credential.data)
        return pb.VerifyCredentialResponse(
            verified=found.verified,
            refusals=_refusals(found.refusals),
            issuer=found.issuer_did,
            types=found.types,
            valid_from=timestamp(found.valid_from),
            valid_until=timestamp(found.valid_until),
            status=found.status,
        )

    async def RevokeCredential(
        self, request: pb.RevokeCredentialRequest, call: Call
    ) -> pb.RevokeCredentialResponse:
        """Revoke a credential by hand."""
        credential_id = identifier_of("credential", request.credential)
        found = await self._credentials.revoke(call.context, credential_id, request.reason)
        return pb.RevokeCredentialResponse(credential=_credential(found))

    async def GetIssuer(self, request: pb.GetIssuerRequest, call: Call) -> pb.GetIssuerResponse:
        """Who issues the tenant's credentials."""
        found = await self._credentials.issuer(call.context)
        keys = [
            pb.IssuerKey(
                kid=key.kid,
                state=key.state,
                not_before=timestamp(key.not_before),
                not_after=timestamp(key.not_after),
                public_key_multibase=key.public_key_multibase,
            )
            for key in found.keys
        ]
        return pb.GetIssuerResponse(did=found.did, issuer=str(found.issuer_id), keys=keys)

    async def RotateIssuerKey(
        self, request: pb.RotateIssuerKeyRequest, call: Call
    ) -> pb.RotateIssuerKeyResponse:
        """Replace the issuer's key."""
        compromised = request.reason == pb.KEY_ROTATION_REASON_COMPROMISED
        rotated, reissued = await self._credentials.rotate_key(call.context, compromised=compromised)
        return pb.RotateIssuerKeyResponse(kid=rotated.kid, did=rotated.did, reissued=reissued)

    async def GetFulfilment(self, request: pb.GetFulfilmentRequest, call: Call) -> pb.GetFulfilmentResponse:
        """What followed a consent."""
        return _progress(await self._progress.get(call.context, identifier_of("event", request.event)))

    async def VerifyReceiptPin(
        self, request: pb.VerifyReceiptPinRequest, call: Call
    ) -> pb.VerifyReceiptPinResponse:
        """Whether a pinned receipt is to be believed."""
        openings = [Opening(one.of, bytes.fromhex(one.salt), one.content) for one in request.openings]
        found = await self._progress.verify_pin(request.cid, request.signed_json, openings)
        return pb.VerifyReceiptPinResponse(
            verified=not found.refusals,
            refusals=_refusals(found.refusals),
            issuer=found.issuer_did,
            state=found.state,
            superseded_by=found.superseded_by,
        )

    async def GetStatusList(self, request: pb.GetStatusListRequest, call: Call) -> httpbody_pb2.HttpBody:
        """A status list as it is published."""
        list_id = identifier_of("status_list", request.status_list)
        key = f"list:{list_id}"
        found = await self._documents.read(key, lambda: self._credentials.status_list(list_id))
        call.response_headers += _public(found)
        return httpbody_pb2.HttpBody(content_type=VC_TYPE, data=found.body)

    async def GetDidDocument(self, request: pb.GetDidDocumentRequest, call: Call) -> httpbody_pb2.HttpBody:
        """The DID document of an issuer, or of the deployment."""
        issuer = identifier_of("issuer", request.issuer) if request.issuer else None
        key = f"did:{issuer}"
        found = await self._documents.read(key, lambda: self._credentials.did_document(issuer))
        call.response_headers += _public(found)
        return httpbody_pb2.HttpBody(content_type=DID_TYPE, data=found.body)


def _public(found: PublishedDocument) -> Iterable[tuple[str, str]]:
    return (("cache-control", "public, max-age=30"), ("etag", found.etag))


def _credential(row: Credential) -> pb.Credential:
    return pb.Credential(
        credential=str(row.id),
        event=str(row.event_id),
        purpose=row.purpose_key,
        state=f"{_STATE}{row.state(clock.now())}",
        issuer=row.issuer_did,
        cryptosuite=row.suite,
        status_list=str(row.status_list_id),
        status_index=row.status_index,
        valid_from=timestamp(row.valid_from),
        valid_until=timestamp(row.valid_until),
        issue_time=timestamp(row.issued_at),
        revoke_time=timestamp(row.revoked_at),
        revoke_reason=row.revoke_reason or "",
        credential_json="" if row.credential_json is None else row.credential_json.decode(),
    )


def _refusals(refusals: Iterable[Refusal]) -> list[pb.ProofRefusal]:
    return [
        pb.ProofRefusal(reason=one.reason, detail=one.detail, proof_index=one.proof_index) for one in refusals
    ]


def _progress(found: Progress) -> pb.GetFulfilmentResponse:
    of, reward = found.of, found.reward
    return pb.GetFulfilmentResponse(
        event=str(of.event_id),
        credential=pb.FulfilmentStep(state=of.credential_state, id=str(of.credential_id or "")),
        reward=pb.FulfilmentStep(
            state=of.reward_state, id="" if of.reward_id is None else bytes(of.reward_id).hex()
        ),
        pin=pb.FulfilmentStep(
            state=of.pin_state, id="" if found.pin is None or found.pin.cid is None else found.pin.cid
        ),
        last_reason=of.last_reason,
        attempts=of.attempts,
        transaction="" if reward is None else reward.tx_ref,
        salts=[pb.CommitmentSalt(of=name, salt=salt) for name, salt in found.salts.items()],
        end_time=timestamp(of.ended_at),
        end_reason=of.end_reason or "",
        update_time=timestamp(found.updated_at),
    )
