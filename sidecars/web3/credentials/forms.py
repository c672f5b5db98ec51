"""What a credential and its proofs must look like before anything is computed over them.

Steps 2 and 3 of the verification. Sources: Verifiable Credentials Data Model 2.0 section 4,
Verifiable Credential Data Integrity 1.0 section 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sidecars.web3.credentials.contexts import CREDENTIALS_V2, Contexts
from sidecars.web3.credentials.reading import JsonObject
from sidecars.web3.credentials.refusals import RefusedError
from sidecars.web3.credentials.suites import (
    JCS,
    PROOF_TYPE,
    SUITES,
    chained_to,
    proofs_of,
    signature_of,
)
from sidecars.web3.credentials.times import parse_stamp

MAX_PROOFS = 8
MAX_CONTEXTS = 16
"""Entries of an ``@context``; JSON-LD reads each of them anew, a thousand for seconds."""
_CREDENTIAL_TYPE = "VerifiableCredential"
_CLOCKS_APART = timedelta(seconds=300)
_PURPOSE = "assertionMethod"
# What no suite defines would be dropped from an rdfc signature, so a proof has these members and no others.
_TEXTS = (
    "id",
    "created",
    "expires",
    "verificationMethod",
    "proofPurpose",
    "proofValue",
    "challenge",
    "nonce",
)
_TEXT_LISTS = ("previousProof", "domain")
_MEMBERS = frozenset({"type", "cryptosuite", "@context", *_TEXTS, *_TEXT_LISTS})


@dataclass(frozen=True)
class Form:
    """What a credential says of itself.

    Attributes:
        issuer: Text or ``id`` of its issuer.
        types: Its types.
        valid_from: Begin of validity, if it has one.
        valid_until: End of validity, if it has one.
        statuses: Its entries of ``credentialStatus``.
    """

    issuer: str
    types: tuple[str, ...]
    valid_from: datetime | None
    valid_until: datetime | None
    statuses: tuple[JsonObject, ...]


def check_form(document: JsonObject, contexts: Contexts) -> Form:
    """Read what every credential has.

    Raises:
        RefusedError: VC_TYPE_MISSING, VC_MALFORMED, VC_CONTEXT_MISSING or VC_CONTEXT_UNKNOWN.
    """
    types = _texts(document.get("type"))
    if types is None or _CREDENTIAL_TYPE not in types:
        raise RefusedError("VC_TYPE_MISSING", f"Its type does not hold {_CREDENTIAL_TYPE}.")
    issuer = document.get("issuer")
    issuer = issuer.get("id") if isinstance(issuer, dict) else issuer
    if not isinstance(issuer, str) or ":" not in issuer:
        raise _malformed("issuer", "a URL, or an object whose id is one")
    if "id" in document and not isinstance(document["id"], str):
        raise _malformed("id", "a URL")
    if not _objects(document.get("credentialSubject")) or {} in _list(document["credentialSubject"]):
        raise _malformed("credentialSubject", "an object with members, or a list of such")
    statuses = document.get("credentialStatus", [])
    if "credentialStatus" in document and not _objects(statuses):
        raise _malformed("credentialStatus", "an object, or a list of such")
    form = Form(
        issuer,
        tuple(types),
        _time(document, "validFrom"),
        _time(document, "validUntil"),
        tuple(_list(statuses)),
    )
    check_contexts(document, contexts)
    return form


def check_contexts(document: JsonObject, contexts: Contexts) -> None:
    """Require the context of credentials first, and only known ones behind it.

    Raises:
        RefusedError: VC_CONTEXT_MISSING, VC_CONTEXT_UNKNOWN, or VC_MALFORMED for too many.
    """
    listed = document.get("@context")
    if not isinstance(listed, list) or not listed or listed[0] != CREDENTIALS_V2:
        raise RefusedError(
            "VC_CONTEXT_MISSING", f"Its @context is no list that begins with {CREDENTIALS_V2}."
        )
    if len(listed) > MAX_CONTEXTS:
        raise RefusedError("VC_MALFORMED", f"Its @context has more than {MAX_CONTEXTS} entries.")
    for at, context in enumerate(listed):
        if not contexts.knows(context):
            raise RefusedError(
                "VC_CONTEXT_UNKNOWN", f"Entry {at} of its @context is none of those that are known here."
            )


def check_proofs(document: JsonObject, now: datetime) -> list[JsonObject]:
    """Read the proofs of a document.

    Returns:
        The proofs in order, each with all members of the right type.

    Raises:
        RefusedError: VC_PROOF_* with the index of the proof.
    """
    proofs = proofs_of(document)
    if not proofs:
        raise RefusedError("VC_PROOF_MISSING", "It has no proof.")
    if len(proofs) > MAX_PROOFS:
        raise RefusedError("VC_PROOF_LIMIT", f"It has {len(proofs)} proofs; at most {MAX_PROOFS} are read.")
    for at, proof in enumerate(proofs):
        try:
            _check_proof(proof, document, now)
        except RefusedError as refused:
            raise refused.at(at) from None
    _check_chain(proofs)
    return proofs


def _check_proof(proof: Any, document: JsonObject, now: datetime) -> None:
    if not isinstance(proof, dict):
        raise _proof_malformed("it is no object")
    if proof.get("type") != PROOF_TYPE or proof.get("cryptosuite") not in SUITES:
        raise RefusedError(
            "VC_PROOF_TYPE_UNSUPPORTED", f"Only {PROOF_TYPE} with {' or '.join(SUITES)} is supported."
        )
    _check_members(proof, document)
    if proof.get("proofPurpose") != _PURPOSE:
        raise RefusedError("VC_PROOF_PURPOSE_MISMATCH", f"The purpose of the proof is not {_PURPOSE}.")
    if "verificationMethod" not in proof:
        raise _proof_malformed("it names no verificationMethod")
    signature_of(proof)
    created, expires = _proof_time(proof, "created"), _proof_time(proof, "expires")
    if created is not None and created > now + _CLOCKS_APART:
        raise RefusedError("VC_PROOF_NOT_YET_VALID", "The proof was made in the future.")
    if expires is not None and expires < now:
        raise RefusedError("VC_PROOF_EXPIRED", "The proof has expired.")


def _check_members(proof: JsonObject, document: JsonObject) -> None:
    for name in proof:
        if name not in _MEMBERS:
            raise _proof_malformed(f"{name[:64]!r} is no member of a proof")
    for name in _TEXTS:
        if name in proof and not isinstance(proof[name], str):
            raise _proof_malformed(f"{name} is no text")
    for name in _TEXT_LISTS:
        # An empty list is dropped by rdfc, so it could be added or taken away.
        if name in proof and not _texts(proof[name]):
            raise _proof_malformed(f"{name} is no text and no list of texts")
    own = proof.get("@context", document.get("@context"))
    if proof["cryptosuite"] != JCS and own != document.get("@context"):
        raise _proof_malformed("its @context is not that of the document")


def _check_chain(proofs: list[JsonObject]) -> None:
    """Every named proof exists once, and following the names ends."""
    done: set[int] = set()
    waiting = list(range(len(proofs)))
    while waiting:
        left = []
        for at in waiting:
            try:
                earlier = chained_to(proofs[at], proofs)
            except RefusedError as refused:
                raise refused.at(at) from None
            if all(any(one is proofs[known] for known in done) for one in earlier):
                done.add(at)
            else:
                left.append(at)
        if len(left) == len(waiting):
            raise RefusedError("VC_PROOF_CHAIN_BROKEN", "Its proofs are chained in a circle.", left[0])
        waiting = left


def _proof_time(proof: JsonObject, name: str) -> datetime | None:
    if name not in proof:
        return None
    at = parse_stamp(proof[name])
    if at is None:
        raise _proof_malformed(f"{name} is no time with a time zone")
    return at


def _time(document: JsonObject, name: str) -> datetime | None:
    if name not in document:
        return None
    at = parse_stamp(document[name])
    if at is None:
        raise _malformed(name, "a time with a time zone, such as 2026-01-31T12:00:00Z")
    return at


def _texts(value: Any) -> list[str] | None:
    """The texts of a text or a list of texts that is not empty, else None."""
    listed = _list(value)
    return listed if listed and all(isinstance(one, str) and one for one in listed) else None


def _objects(value: Any) -> bool:
    listed = _list(value)
    return bool(listed) and all(isinstance(one, dict) for one in listed)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _malformed(member: str, expected: str) -> RefusedError:
    return RefusedError("VC_MALFORMED", f"{member} must be {expected}.")


def _proof_malformed(fault: str) -> RefusedError:
    return RefusedError("VC_PROOF_MALFORMED", f"The proof cannot be used: {fault}.")
