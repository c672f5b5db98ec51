"""The documents we sign: credentials of consents and agreements, status lists; and the context they bring.

Our terms stand in one inline, protected context of every credential, so any verifier reads them without
fetching; our own verifier knows that context by its digest.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sidecars.web3.credentials.contexts import CREDENTIALS_V2
from sidecars.web3.credentials.reading import JsonObject
from sidecars.web3.credentials.times import stamp

_OURS = "urn:cohortlens:consent#"
_XSD = "http://www.w3.org/2001/XMLSchema#"
LIST_TYPE = "BitstringStatusListCredential"
ENTRY_TYPE = "BitstringStatusListEntry"
LIST_PATH = "/api/v1/statusLists/"


def _term(name: str, datatype: str = "") -> dict[str, str]:
    term = {"@id": _OURS + name}
    return {**term, "@type": _XSD + datatype} if datatype else term


CONSENT_CONTEXT: Mapping[str, Any] = {
    "@protected": True,
    "ConsentCredential": _OURS + "ConsentCredential",
    "AgreementCredential": _OURS + "AgreementCredential",
    "purpose": _term("purpose"),
    "purposeVersion": _term("purposeVersion", "integer"),
    "activities": {**_term("activities"), "@container": "@set"},
    "grantedAt": _term("grantedAt", "dateTime"),
    "noticeDigest": _term("noticeDigest"),
    "recordCommitment": _term("recordCommitment"),
    "agreement": {"@id": _OURS + "agreement", "@type": "@id"},
    "offerVersion": _term("offerVersion", "integer"),
    "termsDigest": _term("termsDigest"),
    "agreedAt": _term("agreedAt", "dateTime"),
}
"""Our inline context. Its digest is part of what verifiers know: a change makes old credentials unknown."""


@dataclass(frozen=True)
class Draft:
    """What a credential is made from.

    Attributes:
        credential_id: Identifier; its ``id`` is ``urn:uuid:`` of it.
        kind: Its type beside ``VerifiableCredential``.
        issuer: DID of the issuer.
        subject: Identifier of the subject.
        claims: What is said of the subject.
        valid_from: Begin of validity.
        valid_until: End of validity.
        list_url: Address of the status list.
        index: Bit there.
    """

    credential_id: UUID
    kind: str
    issuer: str
    subject: str
    claims: Mapping[str, Any]
    valid_from: datetime
    valid_until: datetime
    list_url: str
    index: int


def credential(draft: Draft) -> JsonObject:
    """A credential, still unsigned."""
    claims = {name: value for name, value in draft.claims.items() if value != []}
    return {
        "@context": [CREDENTIALS_V2, dict(CONSENT_CONTEXT)],
        "id": f"urn:uuid:{draft.credential_id}",
        "type": ["VerifiableCredential", draft.kind],
        "issuer": draft.issuer,
        "validFrom": stamp(draft.valid_from),
        "validUntil": stamp(draft.valid_until),
        "credentialSubject": {"id": draft.subject, **claims},
        "credentialStatus": {
            "id": f"{draft.list_url}#{draft.index}",
            "type": ENTRY_TYPE,
            "statusPurpose": "revocation",
            "statusListIndex": str(draft.index),
            "statusListCredential": draft.list_url,
        },
    }


def list_credential(
    url: str, issuer: str, purpose: str, encoded: str, valid_from: datetime, valid_until: datetime
) -> JsonObject:
    """A status list credential, still unsigned (Bitstring Status List 1.0 section 2.2)."""
    return {
        "@context": [CREDENTIALS_V2],
        "id": url,
        "type": ["VerifiableCredential", LIST_TYPE],
        "issuer": issuer,
        "validFrom": stamp(valid_from),
        "validUntil": stamp(valid_until),
        "credentialSubject": {
            "id": f"{url}#list",
            "type": "BitstringStatusList",
            "statusPurpose": purpose,
            "encodedList": encoded,
        },
    }


def pairwise_subject(key: bytes, subject_id: UUID, source_id: UUID) -> str:
    """The identifier of a subject in one credential alone: nobody links two without the tenant's key.

    HMAC-SHA-256 of identity and event, its first 16 bytes as a UUIDv8 (RFC 9562 section 5.8).
    """
    digest = hmac.digest(key, subject_id.bytes + source_id.bytes, "sha256")
    value = int.from_bytes(digest[:16], "big")
    value = (value & ~(0xF << 76)) | (0x8 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return f"urn:uuid:{UUID(int=value)}"


def proof_options(suite: str, method: str, created: datetime) -> JsonObject:
    """The options of a proof of ours."""
    return {
        "type": "DataIntegrityProof",
        "cryptosuite": suite,
        "created": stamp(created),
        "verificationMethod": method,
        "proofPurpose": "assertionMethod",
    }
