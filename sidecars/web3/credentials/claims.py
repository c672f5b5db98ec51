"""What may be said in a credential or a signed document: closed lists of members, by kind.

Every value has a form that leaves no room for a name, an address or free text, so personal data cannot be
expressed at all. ``CLAIMS_INVALID`` names the member and what it must be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from cohortlens.core.errors import InvalidArgument, Violation
from sidecars.web3.credentials.reading import JsonObject, read_object
from sidecars.web3.credentials.refusals import RefusedError
from sidecars.web3.credentials.times import parse_stamp, stamp

MAX_CLAIMS_BYTES = 8 * 1024
MAX_DOCUMENT_BYTES = 64 * 1024
MAX_ACTIVITIES = 64
_MAX_VERSION = 2**31 - 1

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
_ACTIVITY = re.compile(r"[a-z][a-z0-9_]{0,31}(?:\.[a-z][a-z0-9_]{0,31}){0,3}\Z")
_WORD = re.compile(r"[a-z]{1,16}\Z")
_CID = re.compile(r"(?:b[a-z2-7]{58,110}|Qm[1-9A-HJ-NP-Za-km-z]{44})\Z")
_URN = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")

_Check = Callable[[Any], bool]


class ClaimsInvalidError(InvalidArgument):
    """A member is missing, unknown, or not of its form."""

    reason = "CLAIMS_INVALID"


def _text(pattern: re.Pattern[str]) -> _Check:
    return lambda value: isinstance(value, str) and pattern.match(value) is not None


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= _MAX_VERSION


def _is_stamp(value: Any) -> bool:
    at = parse_stamp(value)
    return at is not None and stamp(at) == value


def _is_hour(value: Any) -> bool:
    return _is_stamp(value) and value.endswith(":00:00Z")


def _are_activities(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MAX_ACTIVITIES
        and len(set(map(str, value))) == len(value)
        and all(map(_text(_ACTIVITY), value))
    )


_A_DIGEST = (_text(_DIGEST), "a SHA-256 as 64 hexadecimal digits, lower case")
_A_STAMP = (_is_stamp, "a UTC time in whole seconds, such as 2026-01-31T12:00:00Z")
_A_COUNT = (_is_count, "a whole number from 1 to 2147483647")
_Member = tuple[_Check, str]

CONSENT: Mapping[str, _Member] = {
    "purpose": (_text(_KEY), "the key of a purpose"),
    "purposeVersion": _A_COUNT,
    "activities": (
        _are_activities,
        f"up to {MAX_ACTIVITIES} different activities, such as profiling.predict",
    ),
    "grantedAt": _A_STAMP,
    "noticeDigest": _A_DIGEST,
    "recordCommitment": _A_DIGEST,
}
"""Members of a ConsentCredential's subject. A purpose may cover no activity, a consent may have no notice;
``recordCommitment`` is salted by the caller."""

AGREEMENT: Mapping[str, _Member] = {
    "agreement": (_text(_URN), "urn:uuid: and a UUID in lower case"),
    "offerVersion": _A_COUNT,
    "termsDigest": _A_DIGEST,
    "agreedAt": _A_STAMP,
}
"""Members of an AgreementCredential's subject; all required."""

RECEIPT: Mapping[str, _Member] = {
    "type": (_text(re.compile(r"ConsentReceiptPin\Z")), "ConsentReceiptPin"),
    "version": _A_COUNT,
    "revision": _A_COUNT,
    "hour": (_is_hour, "a UTC time at a whole hour, such as 2026-01-31T12:00:00Z"),
    "receipt": _A_DIGEST,
    "credential": _A_DIGEST,
    "transaction": _A_DIGEST,
    "reward": (_text(_WORD), "one word in lower case"),
    "state": (_text(_WORD), "one word in lower case"),
    "supersedes": (_text(_CID), "a CID"),
}
"""Members of a receipt pin; digests are salted commitments. ``transaction``, ``supersedes`` are optional."""

CHECKPOINT: Mapping[str, _Member] = {
    "seq": _A_COUNT,
    "hash": _A_DIGEST,
    "at": _A_STAMP,
}
"""Members of a checkpoint of an audit log; all required."""

_OPTIONAL = frozenset({"activities", "noticeDigest", "transaction", "supersedes"})
_TERMS = frozenset(
    {
        "uid", "version", "profile", "target", "permission", "prohibition", "obligation", "duty",
        "price", "incentive", "title", "description", "issuedAt", "expiresAt", "contributors",
    }
)  # fmt: skip


def read_claims(text: bytes, members: Mapping[str, _Member]) -> JsonObject:
    """Read claims and check every member against a closed list.

    Raises:
        ClaimsInvalidError: With the member and what it must be.
    """
    claims = _read(text, "claims_json", MAX_CLAIMS_BYTES)
    return check_members(claims, members, "claims_json")


def check_members(claims: JsonObject, members: Mapping[str, _Member], field: str) -> JsonObject:
    """The claims, if they hold what the list asks for and nothing else.

    Raises:
        ClaimsInvalidError: With every member that is wrong.
    """
    faults = [
        Violation(f"{field}.{name[:64]}", "is no member here") for name in claims if name not in members
    ]
    for name, (is_right, expected) in members.items():
        if name not in claims:
            if name not in _OPTIONAL:
                faults.append(Violation(f"{field}.{name}", f"is missing: {expected}"))
        elif not is_right(claims[name]):
            faults.append(Violation(f"{field}.{name}", f"must be {expected}"))
    if faults:
        raise _invalid(tuple(faults))
    return claims


def read_terms(text: bytes, issuer: str) -> JsonObject:
    """Read the terms of an offer; their words are the seller's and public, their members a closed list.

    Raises:
        ClaimsInvalidError: With the members that are not, or an issuer that is not ours.
    """
    terms = _own(_read(text, "json", MAX_DOCUMENT_BYTES), issuer)
    unknown = tuple(
        Violation(f"json.{name[:64]}", "is no member here") for name in terms if name not in _TERMS
    )
    if unknown:
        raise _invalid(unknown)
    return {**terms, "issuer": issuer}


def read_document(text: bytes, members: Mapping[str, _Member], issuer: str) -> JsonObject:
    """Read a document to sign; ``issuer`` is put in, and may stand there already.

    Raises:
        ClaimsInvalidError: With every member that is wrong, or an issuer that is not ours.
    """
    document = _own(_read(text, "json", MAX_DOCUMENT_BYTES), issuer)
    return {**check_members(document, members, "json"), "issuer": issuer}


def _own(document: JsonObject, issuer: str) -> JsonObject:
    """A document without its issuer, who must be ours where it is named."""
    if document.pop("issuer", issuer) != issuer:
        raise _invalid((Violation("json.issuer", "must be the DID of the tenant, or left out"),))
    return document


def _read(text: bytes, field: str, max_bytes: int) -> JsonObject:
    try:
        return read_object(text, max_bytes=max_bytes)
    except RefusedError as refused:
        raise _invalid((Violation(field, refused.refusal.detail),)) from None


def _invalid(faults: tuple[Violation, ...]) -> ClaimsInvalidError:
    names = ", ".join(fault.field for fault in faults[:3])
    return ClaimsInvalidError(
        f"The claims cannot be signed: {names}. Send the members of the kind and no others.",
        violations=faults[:50],
    )
