"""The life of credentials on a real journal: issued once, verified, revoked, keys rotated."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import rfc8785

from cohortlens.core.errors import InvalidArgument, NotFound
from cohortlens.internal.v1 import web3_credentials_pb2 as pb
from tests.fixtures.waiting import eventually

RDFC, JCS = pb.CRYPTOSUITE_EDDSA_RDFC_2022, pb.CRYPTOSUITE_EDDSA_JCS_2022
CLAIMS = {
    "purpose": "profiling",
    "purposeVersion": 1,
    "activities": ["profiling.predict", "profiling.segment"],
    "grantedAt": "2026-01-31T12:00:00Z",
    "noticeDigest": "ab" * 32,
    "recordCommitment": "cd" * 32,
}
TENANT, OTHER = uuid4(), uuid4()


def item(source=None, claims=CLAIMS, suite=RDFC, **more):
    source = source or uuid4()
    fields = {"kind": pb.CREDENTIAL_KIND_CONSENT, "subject_id": uuid4().bytes, **more}
    return pb.CredentialItem(
        source_id=source.bytes, claims_json=json.dumps(claims).encode(), suite=suite, **fields
    )


async def issue(desk, *items, tenant=TENANT, operation=None):
    answer = await desk.ask(
        "IssueCredentials",
        tenant_id=tenant.bytes,
        operation_id=(operation or uuid4()).bytes,
        items=items,
    )
    return list(answer.credentials)


async def revoke(desk, credential_id, tenant=TENANT):
    return await desk.ask(
        "RevokeCredential",
        tenant_id=tenant.bytes,
        operation_id=uuid4().bytes,
        credential_id=credential_id,
        reason_code="CONSENT_WITHDRAWN",
    )


async def rotate(desk, reason, tenant=TENANT):
    return await desk.ask(
        "RotateIssuerKey", tenant_id=tenant.bytes, operation_id=uuid4().bytes, reason=reason
    )


async def published(desk, list_id):
    found = await desk.ask("GetStatusList", status_list_id=list_id)
    return json.loads(found.document.body)


def set_bits(document):
    from sidecars.web3.credentials import bits

    found = bits.decode(document["credentialSubject"]["encodedList"])
    return [at for at in range(len(found) * 8) if bits.value_at(found, at)]


@pytest.mark.parametrize("suite", [RDFC, JCS])
async def test_an_issued_credential_verifies_until_it_is_revoked(desk, suite):
    (made,) = await issue(desk, item(suite=suite))
    assert await desk.verify(made.credential_json) == []
    assert made.credential_json == rfc8785.dumps(json.loads(made.credential_json))
    assert made.sha256 == hashlib.sha256(made.credential_json).digest()

    await revoke(desk, made.credential_id)

    assert await desk.verify(made.credential_json) == ["VC_REVOKED"]
    assert await desk.verify(made.credential_json, skip_status=True) == []


async def test_a_revocation_reaches_the_public_list_with_its_bit_alone(desk):
    made, kept = await issue(desk, item(), item())
    before = await published(desk, made.status_list_id)
    publishing = asyncio.create_task(desk.area.run())
    answer = await revoke(desk, made.credential_id)

    async def shows():
        found = await desk.ask("GetStatusList", status_list_id=made.status_list_id)
        return found.document.version >= answer.list_version and found

    found = await eventually(shows, 5)
    publishing.cancel()

    assert set_bits(before) == []
    assert set_bits(json.loads(found.document.body)) == [made.status_index]
    assert await desk.verify(found.document.body) == []
    assert await desk.verify(kept.credential_json) == []


async def test_the_same_operation_answers_the_same_bytes_and_another_request_is_refused(desk):
    operation, asked = uuid4(), item()
    first = await issue(desk, asked, operation=operation)
    assert await issue(desk, asked, operation=operation) == first
    with pytest.raises(InvalidArgument) as refused:
        await issue(desk, item(), operation=operation)
    assert refused.value.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_a_source_has_one_valid_credential_whoever_asks_at_once(desk, open_desk):
    other, source = await open_desk(), uuid4()
    answers = await asyncio.gather(*(issue(one, item(source)) for one in (desk, other) * 4))
    assert len({answer[0].credential_json for answer in answers}) == 1

    await revoke(desk, answers[0][0].credential_id)
    (again,) = await issue(desk, item(source))
    assert again.credential_id != answers[0][0].credential_id
    assert await desk.verify(again.credential_json) == []


async def test_a_credential_names_nobody_and_two_of_one_person_share_no_subject(desk):
    person = uuid4()
    first, second = await issue(
        desk, item(subject_id=person.bytes), item(subject_id=person.bytes), tenant=TENANT
    )
    subjects = {json.loads(one.credential_json)["credentialSubject"]["id"] for one in (first, second)}
    assert len(subjects) == 2
    text = first.credential_json.decode()
    for secret in (person, TENANT, UUID(bytes=first.source_id)):
        assert str(secret) not in text
        assert secret.hex not in text


async def test_revoking_what_another_tenant_issued_finds_nothing(desk):
    (made,) = await issue(desk, item())
    with pytest.raises(NotFound):
        await revoke(desk, made.credential_id, tenant=OTHER)
    assert await desk.verify(made.credential_json) == []


async def test_revoking_twice_is_a_success_and_changes_the_list_once(desk):
    (made,) = await issue(desk, item())
    first, second = await revoke(desk, made.credential_id), await revoke(desk, made.credential_id)
    assert first.list_version == second.list_version


async def test_after_a_routine_rotation_old_credentials_still_verify(desk):
    (old,) = await issue(desk, item())
    key = await rotate(desk, pb.ROTATION_REASON_ROUTINE)
    (new,) = await issue(desk, item())
    assert new.issuer_did == key.did != old.issuer_did
    assert await desk.verify(old.credential_json) == []
    await revoke(desk, old.credential_id)
    assert await desk.verify(old.credential_json) == ["VC_REVOKED"]
    assert (await published(desk, old.status_list_id))["issuer"] == old.issuer_did


async def test_with_a_compromised_key_go_the_credentials_it_signed(desk):
    made = await issue(desk, item(), item())
    answer = await rotate(desk, pb.ROTATION_REASON_COMPROMISED)
    assert set(answer.revoked_credential_ids) == {one.credential_id for one in made}
    assert await desk.verify(made[0].credential_json) == ["VC_KEY_REVOKED"]
    shown = await desk.ask("GetIssuer", tenant_id=TENANT.bytes)
    assert [key.state for key in shown.keys] == ["ACTIVE", "COMPROMISED"]


async def test_an_issuer_of_did_web_keeps_its_did_and_lists_both_keys(open_desk):
    desk = await open_desk(did_web_host="consent.example")
    (old,) = await issue(desk, item())
    await rotate(desk, pb.ROTATION_REASON_ROUTINE)
    (new,) = await issue(desk, item())
    shown = await desk.ask("GetIssuer", tenant_id=TENANT.bytes)
    found = await desk.ask("GetDidDocument", issuer_id=shown.issuer_id)
    document = json.loads(found.document.body)

    assert old.issuer_did == new.issuer_did == document["id"]
    assert document["id"] == f"did:web:consent.example:api:v1:issuers:{UUID(bytes=shown.issuer_id)}"
    assert len(document["assertionMethod"]) == 2
    assert await desk.verify(old.credential_json) == await desk.verify(new.credential_json) == []


async def test_the_deployment_has_a_did_document_of_its_own(desk, open_desk):
    found = await desk.ask("GetDidDocument")
    assert json.loads(found.document.body)["id"].startswith("did:key:z6Mk")
    named = await open_desk(did_web_host="consent.example")
    assert json.loads((await named.ask("GetDidDocument")).document.body)["id"] == "did:web:consent.example"


async def test_a_sidecar_with_another_kek_does_not_start(desk, open_desk):
    import base64

    from sidecars.web3.sealing import Kek, KekMismatch

    await issue(desk, item())
    other = base64.b64encode(bytes(32)).decode()
    with pytest.raises(KekMismatch):
        await open_desk(sealing=Kek(other))
    before = base64.b64encode(bytes(range(7, 39))).decode()
    moved = await open_desk(sealing=Kek(other, before))
    (made,) = await issue(moved, item())
    assert await (await open_desk(sealing=Kek(other))).verify(made.credential_json) == []


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"name": "Ada"}, "claims_json.name"),
        ({"purpose": "Ada Lovelace"}, "claims_json.purpose"),
        ({"purposeVersion": 1.0}, "claims_json.purposeVersion"),
        ({"purposeVersion": True}, "claims_json.purposeVersion"),
        ({"grantedAt": "2026-01-31T12:00:00.5Z"}, "claims_json.grantedAt"),
        ({"recordCommitment": "ada@example.org"}, "claims_json.recordCommitment"),
        ({"activities": [{"name": "Ada"}]}, "claims_json.activities"),
    ],
)
async def test_a_claim_outside_the_closed_list_is_refused_by_its_name(desk, change, member):
    with pytest.raises(InvalidArgument) as refused:
        await issue(desk, item(claims=CLAIMS | change))
    assert refused.value.reason == "CLAIMS_INVALID"
    assert [one.field for one in refused.value.violations] == [member]


async def test_a_holder_with_a_key_of_another_type_is_refused(desk):
    holder = "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"
    with pytest.raises(InvalidArgument) as refused:
        await issue(desk, item(holder_did=holder))
    assert refused.value.reason == "HOLDER_DID_INVALID"


async def test_validity_ends_with_the_consent_and_after_a_year_at_the_latest(desk):
    now = datetime.now(UTC)
    month, decade = now + timedelta(days=30), now + timedelta(days=3650)
    first, second = await issue(
        desk, item(valid_until_s=int(month.timestamp())), item(valid_until_s=int(decade.timestamp()))
    )
    assert first.valid_until_s == int(month.timestamp())
    assert second.valid_until_s - second.valid_from_s == 365 * 86_400
    assert await desk.verify(first.credential_json, now_s=int(decade.timestamp())) == ["VC_EXPIRED"]
    assert await desk.verify(first.credential_json, now_s=1) == ["VC_PROOF_NOT_YET_VALID"]


async def test_a_signed_receipt_pin_verifies_and_an_altered_one_does_not(desk):
    words = {
        "type": "ConsentReceiptPin", "version": 1, "revision": 1, "hour": "2026-01-31T12:00:00Z",
        "receipt": "ab" * 32, "credential": "cd" * 32, "reward": "none", "state": "active",
    }  # fmt: skip
    ids = {"tenant_id": TENANT.bytes, "operation_id": uuid4().bytes}
    signed = await desk.ask(
        "SignDocument", **ids, kind=pb.DOCUMENT_KIND_RECEIPT, json=json.dumps(words).encode()
    )
    found = await desk.ask("VerifyDocument", signed_json=signed.signed_json)
    assert found.verified
    altered = signed.signed_json.replace(b'"active"', b'"ended"')
    found = await desk.ask("VerifyDocument", signed_json=altered)
    assert [one.reason for one in found.refusals] == ["VC_SIGNATURE_INVALID"]
