"""What may be pinned in clear: JSON whose members are a closed list and whose values leave no room for words.

Pinned bytes cannot be recalled, so the form decides, not the sender's care. A name, an address or any other
free text has no member to stand in. What has no such form (reports, files of models) is sealed, always.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from cohortlens.core.errors import Violation
from sidecars.web3.pinning.errors import PinKindRefused, PinTooLarge

MOST_BYTES = 64 * 2**20
"""Bytes of a sealed pin."""
_SMALL_BYTES, _LIST_BYTES = 64 * 2**10, 4 * 2**20
_MOST_ROWS = 256

_Check = Callable[[object, str], None]


class _Wrong(Exception):
    def __init__(self, path: str, expected: str) -> None:
        super().__init__(path)
        self.violation = Violation(path, f"must be {expected}")


def _text(pattern: str, expected: str) -> _Check:
    compiled = re.compile(pattern)

    def check(value: object, path: str) -> None:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise _Wrong(path, expected)

    return check


def _whole(value: object, path: str) -> None:
    if type(value) is not int or not 0 <= value < 2**53:
        raise _Wrong(path, "a whole number from 0 to 2^53 - 1")


def _object(required: Mapping[str, _Check], optional: Mapping[str, _Check] | None = None) -> _Check:
    known = {**required, **(optional or {})}

    def check(value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise _Wrong(path, "an object")
        for name in value:
            if name not in known:
                # The name itself is not repeated: it may be what must not get out.
                raise _Wrong(path, f"an object of {', '.join(sorted(known))} and nothing else")
        for name in required:
            if name not in value:
                raise _Wrong(f"{path}.{name}", "there")
        for name, member in value.items():
            known[name](member, f"{path}.{name}")

    return check


def _list(row: _Check) -> _Check:
    def check(value: object, path: str) -> None:
        if not isinstance(value, list) or not 1 <= len(value) <= _MOST_ROWS:
            raise _Wrong(path, f"a list of 1 to {_MOST_ROWS}")
        for index, member in enumerate(value):
            row(member, f"{path}[{index}]")

    return check


def _either(first: _Check, second: _Check) -> _Check:
    def check(value: object, path: str) -> None:
        try:
            first(value, path)
        except _Wrong:
            second(value, path)

    return check


_DIGEST = _text(r"[0-9a-f]{64}", "a SHA-256 as 64 hexadecimal digits, lower case")
_STAMP = _text(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "a UTC time in whole seconds, such as 2026-01-31T12:00:00Z"
)
_HOUR = _text(r"\d{4}-\d\d-\d\dT\d\d:00:00Z", "a UTC time at a whole hour, such as 2026-01-31T12:00:00Z")
_WORD = _text(r"[a-z]{1,16}", "one word in lower case")
_CID = _text(r"b[a-z2-7]{58,110}|Qm[1-9A-HJ-NP-Za-km-z]{44}", "a CID")
_DID = _text(r"did:(?:key|web):[A-Za-z0-9._:%-]{1,240}", "a did:key or did:web")
_KEY_ID = _text(r"did:(?:key|web):[A-Za-z0-9._:%-]{1,240}#[A-Za-z0-9._-]{1,120}", "the id of a key of a DID")
_URI = _text(
    r"urn:uuid:[0-9a-f-]{36}|https?://[A-Za-z0-9.:\[\]-]{1,253}(?:/[A-Za-z0-9._~/-]{0,200})?(?:#[A-Za-z0-9-]{0,80})?",
    "urn:uuid: with a UUID, or a URL without query",
)
_TYPE = _text(r"[A-Z][A-Za-z0-9]{1,63}", "the name of a type")
_TERM = _text(
    r"(?:[a-z][A-Za-z]{0,15}:)?[a-z][A-Za-z]{0,31}|[a-z][a-z0-9_]{0,62}(?:\.[a-z][a-z0-9_]{0,31}){0,3}",
    "a term, such as odrl:aggregate or sharing.marketplace",
)
_TYPES = _either(_TYPE, _list(_TYPE))
_CONTEXT = _either(_URI, _list(_URI))
_PROOF = _object(
    {
        "type": _text("DataIntegrityProof", "DataIntegrityProof"),
        "cryptosuite": _text(r"eddsa-(?:rdfc|jcs)-2022", "eddsa-rdfc-2022 or eddsa-jcs-2022"),
        "verificationMethod": _KEY_ID,
        "proofPurpose": _text("assertionMethod", "assertionMethod"),
        "proofValue": _text(r"z[1-9A-HJ-NP-Za-km-z]{64,100}", "a signature in base58 after z"),
    },
    {"created": _STAMP, "@context": _CONTEXT},
)
_RECEIPT = _object(
    {
        "type": _text("ConsentReceiptPin", "ConsentReceiptPin"),
        "version": _whole,
        "revision": _whole,
        "hour": _HOUR,
        "receipt": _DIGEST,
        "credential": _DIGEST,
        "reward": _WORD,
        "state": _WORD,
        "issuer": _DID,
        "proof": _PROOF,
    },
    {"transaction": _DIGEST, "supersedes": _CID, "@context": _CONTEXT},
)
_STATUS_LIST = _object(
    {
        "@context": _CONTEXT,
        "type": _TYPES,
        "issuer": _DID,
        "credentialSubject": _object(
            {
                "type": _TYPES,
                "statusPurpose": _text("revocation|suspension", "revocation or suspension"),
                "encodedList": _text(r"u[A-Za-z0-9_-]{1,4000000}", "a list in base64url after u"),
            },
            {"id": _URI, "ttl": _whole},
        ),
        "proof": _PROOF,
    },
    {"id": _URI, "validFrom": _STAMP, "validUntil": _STAMP},
)
_OPERAND = _either(_either(_TERM, _either(_URI, _STAMP)), _whole)
_CONSTRAINT = _object(
    {"leftOperand": _TERM, "operator": _TERM, "rightOperand": _either(_OPERAND, _list(_OPERAND))},
    {"unit": _either(_TERM, _URI)},
)
_DUTY = _object({"action": _TERM}, {"constraint": _list(_CONSTRAINT), "target": _URI, "purpose": _TERM})
_RULE = _object(
    {"action": _TERM},
    {
        "constraint": _list(_CONSTRAINT),
        "target": _URI,
        "purpose": _either(_TERM, _list(_TERM)),
        "duty": _list(_DUTY),
    },
)
_AMOUNT = _object({"amount_minor": _whole, "currency": _text("[A-Z]{3}", "a currency, such as EUR")})
_OFFER_TERMS = _object(
    {"uid": _URI, "permission": _list(_RULE), "issuer": _DID, "proof": _PROOF},
    {
        "@context": _CONTEXT,
        "type": _TYPES,
        "version": _whole,
        "profile": _URI,
        "target": _URI,
        "prohibition": _list(_RULE),
        "obligation": _list(_DUTY),
        "duty": _list(_DUTY),
        "price": _AMOUNT,
        "incentive": _object({"amount_micro": _whole}),
        "issuedAt": _STAMP,
        "expiresAt": _STAMP,
        "contributors": _whole,
    },
)
_FORMS: Mapping[str, tuple[_Check, int]] = {
    "RECEIPT": (_RECEIPT, _SMALL_BYTES),
    "STATUS_LIST": (_STATUS_LIST, _LIST_BYTES),
    "OFFER_TERMS": (_OFFER_TERMS, _SMALL_BYTES),
}
SEALED_KINDS = frozenset({"REPORT", "ARTIFACT"})
"""Kinds that are never pinned in clear."""


def most_bytes(kind: str) -> int:
    """Bytes that a pin of a kind may have before it is sealed.

    Raises:
        PinKindRefused: There is no such kind.
    """
    if kind in SEALED_KINDS:
        return MOST_BYTES
    if kind not in _FORMS:
        raise PinKindRefused("kind: expected RECEIPT, STATUS_LIST, OFFER_TERMS, REPORT or ARTIFACT")
    return _FORMS[kind][1]


def check_size(kind: str, size_bytes: int) -> None:
    """Check the announced size of a pin.

    Raises:
        PinKindRefused: There is no such kind.
        PinTooLarge: It has more bytes than its kind may.
    """
    most = most_bytes(kind)
    if size_bytes > most:
        raise PinTooLarge(
            f"size_bytes: a pin of kind {kind} has at most {most} bytes, not {size_bytes}",
            metadata={"limit_bytes": str(most)},
        )


def check_public(kind: str, content: bytes) -> None:
    """Check that content of a public kind has its form.

    Raises:
        PinKindRefused: It has not; the fault names the member and never its value.
    """
    form, _most = _FORMS[kind]
    try:
        form(json.loads(content.decode(), object_pairs_hook=_without_twins, parse_constant=_refused), kind)
    except _Wrong as wrong:
        raise PinKindRefused(
            f"{wrong.violation.field}: {wrong.violation.description}; "
            "what has another form is pinned sealed, as REPORT or ARTIFACT",
            violations=(wrong.violation,),
        ) from None
    except (ValueError, RecursionError):
        raise PinKindRefused(f"content of kind {kind} is JSON in UTF-8 without members twice") from None


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands there twice")
    return members


def _refused(_constant: str) -> object:
    raise ValueError("no number")
