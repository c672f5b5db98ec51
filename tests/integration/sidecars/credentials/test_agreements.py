"""Credentials of agreements: for a holder with a DID, signed and revoked as those of consents."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from cohortlens.core.errors import InvalidArgument
from cohortlens.internal.v1 import web3_credentials_pb2 as pb
from tests.fixtures.signed_credentials import ISSUER as HOLDER
from tests.fixtures.signed_credentials import altered
from tests.integration.sidecars.credentials.test_life import JCS, RDFC, issue, item, revoke

AGREED = {
    "agreement": "urn:uuid:0f6cf4d2-2ba6-4e5f-9a37-6c1a5a0f9e01",
    "offerVersion": 2,
    "termsDigest": "ef" * 32,
    "agreedAt": "2026-02-01T09:30:00Z",
}


def agreement(claims=AGREED, holder=HOLDER, **more):
    return item(claims=claims, kind=pb.CREDENTIAL_KIND_AGREEMENT, holder_did=holder, **more)


@pytest.mark.parametrize("suite", [RDFC, JCS])
async def test_an_agreement_verifies_names_its_holder_and_can_be_revoked(desk, suite):
    (made,) = await issue(desk, agreement(suite=suite))
    document = json.loads(made.credential_json)
    assert document["type"] == ["VerifiableCredential", "AgreementCredential"]
    assert document["credentialSubject"] == {"id": HOLDER, **AGREED}
    assert await desk.verify(made.credential_json) == []
    changed = altered(document, ("credentialSubject", "offerVersion"), 3)
    assert await desk.verify(json.dumps(changed).encode()) == ["VC_SIGNATURE_INVALID"]

    await revoke(desk, made.credential_id)

    assert await desk.verify(made.credential_json) == ["VC_REVOKED"]


async def test_a_consent_and_an_agreement_of_one_source_are_two_credentials(desk):
    source = uuid4()
    consent, agreed = await issue(desk, item(source), agreement(source=source))
    assert consent.credential_id != agreed.credential_id
    assert consent.status_index != agreed.status_index


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"holder": ""}, "HOLDER_DID_INVALID"),
        ({"holder": "did:example:ada"}, "HOLDER_DID_INVALID"),
        ({"claims": AGREED | {"price": 3}}, "CLAIMS_INVALID"),
        ({"claims": AGREED | {"agreement": "urn:uuid:Ada"}}, "CLAIMS_INVALID"),
        ({"claims": {name: one for name, one in AGREED.items() if name != "agreedAt"}}, "CLAIMS_INVALID"),
    ],
)
async def test_an_agreement_without_holder_or_with_other_claims_is_refused(desk, asked, reason):
    with pytest.raises(InvalidArgument) as refused:
        await issue(desk, agreement(**asked))
    assert refused.value.reason == reason
