"""Every refusal of the verifier: what was added, altered or made to harm, and the reason it gets."""

from __future__ import annotations

import copy
import json
import tracemalloc

import pytest

from sidecars.web3.credentials import suites
from sidecars.web3.credentials.contexts import EXAMPLES_V2
from tests.fixtures.signed_credentials import (
    CANONICALIZER,
    DOCUMENT,
    KEY,
    METHOD,
    NOW,
    altered,
    reasons,
    signed,
    verifier,
)

SUBJECT = "credentialSubject"
UNSIGNED, UNDEFINED, RELATIVE = "VC_UNSIGNED_CONTENT", "VC_UNDEFINED_TERM", "VC_RELATIVE_IRI"
INVALID, MALFORMED, PROOF = "VC_SIGNATURE_INVALID", "VC_MALFORMED", "VC_PROOF_MALFORMED"

# What canonicalisation drops or could drop, put in after signing.
ADDITIONS = [
    (("undefinedTerm",), "x", UNDEFINED),
    ((SUBJECT, "undefinedTerm"), "x", UNDEFINED),
    ((SUBJECT, "undefinedTerm"), {"id": "urn:x:y"}, UNDEFINED),
    (("type", 1), "Unknown", UNDEFINED),
    ((SUBJECT, "type"), "Unknown", UNDEFINED),
    ((SUBJECT, "@type"), "relative", UNDEFINED),
    ((SUBJECT, "id"), "relative", RELATIVE),
    (("id",), "../relative", RELATIVE),
    (("id",), "urn:not an iri", RELATIVE),
    (("termsOfUse",), None, UNSIGNED),
    (("name",), {"@value": None}, UNSIGNED),
    (("name", "@direction"), "rtl", UNSIGNED),
    ((SUBJECT, "activities", 0), None, UNSIGNED),
    (("termsOfUse",), [], UNSIGNED),
    ((SUBJECT, "@context"), {"purpose": "urn:other"}, UNSIGNED),
    (("@graph",), [], UNSIGNED),
    ((SUBJECT, "@graph"), [{"id": "urn:x:y"}], UNSIGNED),
    ((SUBJECT, "@included"), [{"id": "urn:x:y", "purpose": "p"}], UNSIGNED),
    ((SUBJECT, "@reverse"), {"purpose": {"id": "urn:x:y"}}, UNSIGNED),
    ((SUBJECT, "@nest"), {"purpose": "p"}, UNSIGNED),
    ((SUBJECT, "@index"), "x", UNSIGNED),
    (("name", "@index"), "x", UNSIGNED),
    ((SUBJECT, "@unknown"), "x", UNSIGNED),
    ((SUBJECT, "_:label"), "x", UNSIGNED),
    ((SUBJECT, "id"), "_:label", UNSIGNED),
    ((SUBJECT, "purpose"), "_:label", UNSIGNED),
]
# What was signed, changed.
CHANGES = [
    ((SUBJECT, "purpose"), "marketing", INVALID),
    ((SUBJECT, "purposeVersion"), 4, INVALID),
    ((SUBJECT, "activities", 1), "profiling.explain", INVALID),
    ((SUBJECT, "noticeDigest"), "cd" * 32, INVALID),
    (("validUntil",), "2027-12-31T00:00:00Z", INVALID),
    (("name", "@language"), "de", INVALID),
    (("proof", "created"), "2026-06-01T11:00:00Z", INVALID),
    (("proof", "created"), "2026-06-01T12:06:00Z", "VC_PROOF_NOT_YET_VALID"),
    (("proof", "expires"), "2026-05-01T00:00:00Z", "VC_PROOF_EXPIRED"),
    (("proof", "expires"), "2027-05-01T00:00:00Z", INVALID),
    (("proof", "expires"), None, PROOF),
    (("proof", "unknown"), "x", PROOF),
    (("proof", "domain"), [], PROOF),
    (("proof", "domain"), "example.org", INVALID),
    (("proof", "proofValue"), "z3", PROOF),
    (("proof", "proofValue"), "u" + "A" * 86, PROOF),
    (("proof", "proofPurpose"), "authentication", "VC_PROOF_PURPOSE_MISMATCH"),
    (("proof", "type"), "Ed25519Signature2020", "VC_PROOF_TYPE_UNSUPPORTED"),
    (("proof", "cryptosuite"), "ecdsa-rdfc-2019", "VC_PROOF_TYPE_UNSUPPORTED"),
    (("proof", "previousProof"), "urn:uuid:missing", "VC_PROOF_CHAIN_BROKEN"),
    (("proof", "verificationMethod"), METHOD.partition("#")[0], "DID_MALFORMED"),
    (("proof", "verificationMethod"), METHOD + "x", "DID_KEY_MALFORMED"),
    (("proof", "verificationMethod"), "did:example:x#y", "DID_MALFORMED"),
    (("proof", "verificationMethod"), "did:web:a.example#y", "DID_WEB_HOST_NOT_ALLOWED"),
    (("proof", "verificationMethod"), "did:web:127.0.0.1#y", "DID_MALFORMED"),
    (("proof", "verificationMethod"), "did:web:user@a.example#y", "DID_MALFORMED"),
    (("proof",), [], "VC_PROOF_MISSING"),
    (("proof",), "x", PROOF),
    (("issuer",), "https://issuer.example", "VC_ISSUER_MISMATCH"),
    (("issuer",), {"id": "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"}, "VC_ISSUER_MISMATCH"),
    (("issuer",), 1, MALFORMED),
    (("validUntil",), "2026-12-31", MALFORMED),
    ((SUBJECT,), {}, MALFORMED),
    (("type",), "ConsentCredential", "VC_TYPE_MISSING"),
    (("@context",), "https://www.w3.org/ns/credentials/v2", "VC_CONTEXT_MISSING"),
    (("@context", 0), "https://www.w3.org/2018/credentials/v1", "VC_CONTEXT_MISSING"),
    (("@context", 1), "https://evil.example/context", "VC_CONTEXT_UNKNOWN"),
    (("@context", 1), {"purpose": None}, "VC_CONTEXT_UNKNOWN"),
]  # fmt: skip


def named(rows):
    return [pytest.param(*row, id=f"{'.'.join(map(str, row[0]))}={str(row[1])[:24]}") for row in rows]


@pytest.mark.parametrize("suite", suites.SUITES)
async def test_what_was_signed_and_left_alone_verifies(suite):
    assert await reasons(signed(suite=suite)) == []


@pytest.mark.parametrize(("path", "value", "reason"), named(ADDITIONS))
async def test_what_no_signature_covers_is_refused(path, value, reason):
    assert await reasons(altered(signed(), path, value)) == [reason]


@pytest.mark.parametrize(("path", "value", "reason"), named(CHANGES))
async def test_what_was_changed_is_refused_with_its_reason(path, value, reason):
    assert await reasons(altered(signed(), path, value)) == [reason]


@pytest.mark.parametrize(("path", "value", "_reason"), named(ADDITIONS))
async def test_under_jcs_no_addition_keeps_the_signature(path, value, _reason):
    assert await reasons(altered(signed(suite=suites.JCS), path, value)) != []


def leaves(value, path=()):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from leaves(inner, (*path, at))
    else:
        yield path, value


@pytest.mark.parametrize("suite", suites.SUITES)
async def test_no_value_can_be_changed_or_taken_away_unseen(suite):
    whole = signed(suite=suite)
    for path, value in leaves({name: one for name, one in whole.items() if name != "@context"}):
        changed = altered(whole, path, value + 1 if isinstance(value, int) else f"{value}x")
        assert await reasons(changed) != [], path
        taken = copy.deepcopy(whole)
        at = taken
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]
        assert await reasons(taken) != [], path


async def test_a_context_put_behind_the_signed_ones_gives_no_new_meaning():
    more = signed()
    more["@context"] = [*more["@context"], EXAMPLES_V2]
    assert await reasons(altered(more, (SUBJECT, "undefinedTerm"), "x")) == [INVALID]


async def test_dates_are_told_together_with_nothing_else_wrong():
    early, late = NOW.replace(year=2025), NOW.replace(year=2027)
    assert await reasons(signed(created="2024-01-01T00:00:00Z"), early) == ["VC_NOT_YET_VALID"]
    assert await reasons(signed(), late) == ["VC_EXPIRED"]


async def test_every_proof_of_a_set_must_verify_and_the_chain_must_hold():
    first = signed(id="urn:uuid:1")["proof"]
    chained = suites.sign(
        {**DOCUMENT, "proof": [first]},
        {name: value for name, value in first.items() if name != "proofValue"}
        | {"id": "urn:uuid:2", "previousProof": "urn:uuid:1"},
        KEY,
        CANONICALIZER,
    )
    assert await reasons({**DOCUMENT, "proof": [first, chained]}) == []
    assert await reasons({**DOCUMENT, "proof": [chained]}) == ["VC_PROOF_CHAIN_BROKEN"]
    broken = {**first, "created": "2026-06-01T10:00:00Z"}
    assert await reasons({**DOCUMENT, "proof": [broken, chained]}) == [INVALID]
    circle = [first | {"previousProof": "urn:uuid:2"}, chained]
    assert await reasons({**DOCUMENT, "proof": circle}) == ["VC_PROOF_CHAIN_BROKEN"]
    assert await reasons({**DOCUMENT, "proof": [first] * 9}) == ["VC_PROOF_LIMIT"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{" + b'"a":' * 3, MALFORMED),
        (b"[" * 60_000, MALFORMED),
        (b'{"a":' * 40 + b"1" + b"}" * 40, MALFORMED),
        (b'{"a":' + b"[" * 32_000 + b"]" * 32_000 + b"}", MALFORMED),
        (b'{"a":[' + b"1," * 3_000 + b"1]}", MALFORMED),
        (b'{"id":"urn:a","id":"urn:b"}', MALFORMED),
        (b'{"a":{"b":1,"b":2}}', MALFORMED),
        (b'{"a":NaN}', MALFORMED),
        (b'{"a":1e999}', MALFORMED),
        (b'{"a":9007199254740993}', MALFORMED),
        (b'{"a":"\\ud800"}', MALFORMED),
        (b'{"a":"\xff"}', MALFORMED),
        (b"\xef\xbb\xbf{}", MALFORMED),
        ('{"a":1}'.encode("utf-16"), MALFORMED),
        (b"[]", MALFORMED),
        (b"", MALFORMED),
        (b" " * 65_537, "VC_TOO_LARGE"),
        (b"{}", "VC_TYPE_MISSING"),
    ],
)
async def test_text_that_is_made_to_harm_or_to_be_read_in_two_ways_is_refused(body, reason):
    tracemalloc.start()
    try:
        assert await reasons(body) == [reason]
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


async def test_poison_graphs_and_crowds_of_nodes_cannot_be_written():
    ring = [{"id": f"_:b{at}", "purpose": {"id": f"_:b{(at + 1) % 12}"}} for at in range(12)]
    assert await reasons(altered(signed(), (SUBJECT,), ring)) == [UNSIGNED]
    crowd = [{"purpose": "p"} for _ in range(300)]
    assert await reasons(altered(signed(), (SUBJECT,), crowd)) == ["VC_CANONICALIZATION_LIMIT"]


async def test_an_answer_never_repeats_more_than_a_piece_of_what_was_sent():
    body = json.dumps(altered(signed(), ("x" * 5_000,), "y")).encode()
    found = await verifier().verify(body, NOW, None)
    assert all(len(one.detail) < 300 for one in found.refusals)
