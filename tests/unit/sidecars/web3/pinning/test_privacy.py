"""What is public has a closed form, in which nothing about a person can be written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecars.web3.pinning.errors import PinKindRefused, PinTooLarge
from sidecars.web3.pinning.privacy import check_public, check_size

DID = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
PROOF = {
    "type": "DataIntegrityProof",
    "cryptosuite": "eddsa-rdfc-2022",
    "created": "2026-01-31T12:00:00Z",
    "verificationMethod": f"{DID}#z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
    "proofPurpose": "assertionMethod",
    "proofValue": "z" + "3" * 87,
}
RECEIPT = {
    "type": "ConsentReceiptPin",
    "version": 1,
    "revision": 2,
    "receipt": "ab" * 32,
    "credential": "cd" * 32,
    "transaction": "ef" * 32,
    "reward": "paid",
    "state": "active",
    "hour": "2026-01-31T12:00:00Z",
    "supersedes": "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq",
    "issuer": DID,
    "proof": PROOF,
}
STATUS_LIST = {
    "@context": ["https://www.w3.org/ns/credentials/v2"],
    "id": "https://shop.example/api/v1/statusLists/0198f3c2-0000-7000-8000-000000000001",
    "type": ["VerifiableCredential", "BitstringStatusListCredential"],
    "issuer": DID,
    "validFrom": "2026-01-31T12:00:00Z",
    "validUntil": "2026-02-01T12:00:00Z",
    "credentialSubject": {
        "id": "https://shop.example/api/v1/statusLists/0198f3c2-0000-7000-8000-000000000001#list",
        "type": "BitstringStatusList",
        "statusPurpose": "revocation",
        "encodedList": "uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA",
    },
    "proof": PROOF,
}
OFFER_TERMS = {
    "@context": "http://www.w3.org/ns/odrl.jsonld",
    "type": "Offer",
    "uid": "urn:uuid:0198f3c2-0000-7000-8000-000000000001",
    "version": 3,
    "permission": [
        {
            "action": "odrl:aggregate",
            "purpose": ["sharing.marketplace", "data_sharing"],
            "constraint": [
                {"leftOperand": "purpose", "operator": "isAnyOf", "rightOperand": ["data_sharing"]}
            ],
        }
    ],
    "prohibition": [{"action": "reidentify"}],
    "obligation": [
        {
            "action": "delete",
            "constraint": [
                {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2026-12-31T00:00:00Z"}
            ],
        }
    ],
    "price": {"amount_minor": 5000, "currency": "EUR"},
    "incentive": {"amount_micro": 5_000_000},
    "contributors": 1200,
    "issuedAt": "2026-01-31T12:00:00Z",
    "issuer": DID,
    "proof": PROOF,
}
FORMS = {"RECEIPT": RECEIPT, "STATUS_LIST": STATUS_LIST, "OFFER_TERMS": OFFER_TERMS}


def _places(value, path=()):
    """Every object and every text of a document, as paths."""
    if isinstance(value, dict):
        yield path, "object"
        for name, member in value.items():
            yield from _places(member, (*path, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _places(member, (*path, index))
    elif isinstance(value, str):
        yield path, "text"


def _changed(document, path, change):
    made = json.loads(json.dumps(document))
    if not path:
        return change(made)
    at = made
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = change(at[path[-1]])
    return made


CASES = [(kind, path, what) for kind, form in FORMS.items() for path, what in _places(form)]


@pytest.mark.parametrize("kind", FORMS)
def test_a_document_of_its_form_is_public(kind):
    check_public(kind, json.dumps(FORMS[kind]).encode())


@pytest.mark.parametrize(("kind", "path", "what"), CASES)
@pytest.mark.parametrize("words", ["Ada Lovelace", "ada@example.org", "+44 20 7946 0000", "Ädä", ""])
def test_words_fit_nowhere(kind, path, what, words):
    change = (lambda value: value | {"note": words}) if what == "object" else (lambda _: words)
    with pytest.raises(PinKindRefused) as refused:
        check_public(kind, json.dumps(_changed(FORMS[kind], path, change)).encode())
    assert not words or words not in refused.value.message


@pytest.mark.parametrize(("kind", "path", "what"), [case for case in CASES if case[2] == "text"])
def test_words_after_a_right_value_fit_nowhere(kind, path, what):
    for made in (
        lambda value: value + "\nAda",
        lambda value: value + " Ada",
        lambda value: value + "?name=Ada",
    ):
        with pytest.raises(PinKindRefused):
            check_public(kind, json.dumps(_changed(FORMS[kind], path, made)).encode())


def test_the_name_of_a_member_is_no_place_for_words_either():
    with pytest.raises(PinKindRefused) as refused:
        check_public("RECEIPT", json.dumps(RECEIPT | {"ada@example.org": 1}).encode())
    assert "ada" not in refused.value.message
    assert "ada" not in str(refused.value.violations)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"hour":"2026-01-31T12:00:00Z","hour":"2026-01-31T12:00:00Z"}',
        json.dumps(RECEIPT).encode() + b" Ada",
        json.dumps(RECEIPT | {"hour": "2026-01-31T12:30:00Z"}).encode(),
        json.dumps({name: value for name, value in RECEIPT.items() if name != "proof"}).encode(),
    ],
)
def test_what_is_no_such_document_is_refused(content):
    with pytest.raises(PinKindRefused):
        check_public("RECEIPT", content)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_other_json_is_refused_with_a_reason(document):
    with pytest.raises(PinKindRefused):
        check_public("OFFER_TERMS", json.dumps(document).encode())


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("RECEIPT", 2**16),
        ("OFFER_TERMS", 2**16),
        ("STATUS_LIST", 2**22),
        ("REPORT", 2**26),
        ("ARTIFACT", 2**26),
    ],
)
def test_each_kind_has_its_largest_size(kind, most):
    check_size(kind, most)
    with pytest.raises(PinTooLarge) as refused:
        check_size(kind, most + 1)
    assert refused.value.metadata == {"limit_bytes": str(most)}


def test_an_unknown_kind_is_refused():
    with pytest.raises(PinKindRefused):
        check_size("PHOTO", 1)
