"""Credentials at the doors: pending, read, downloaded, verified by strangers, revoked; the issuer and its key."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from uuid import uuid4

import grpc
import httpx
import pytest
from google.api import httpbody_pb2

from cohortlens.core import outbox
from cohortlens.core.outbox import Wanted
from cohortlens.v1 import consent_pb2_grpc
from cohortlens.v1 import credentials_pb2 as pb
from tests.fixtures.waiting import eventually
from tests.fixtures.web3_doors import answered, as_json, reason_of

SHARING = ("data_sharing",)


@pytest.fixture
async def anyone(web3_gateway):
    """A client of somebody without a token."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{web3_gateway.http_port}", timeout=20) as one:
        yield one


@pytest.fixture
async def by_grpc(web3_gateway, shop):
    """Calls a method of the gRPC door; answers what the HTTP door would."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{web3_gateway.grpc_port}") as channel:
        stub = consent_pb2_grpc.ConsentServiceStub(channel)

        async def call(method, token=shop.token, **fields):
            metadata = (("authorization", f"Bearer {token}"),) if token else ()
            request = getattr(pb, f"{method}Request")(**fields)
            answer = await getattr(stub, method)(request, metadata=metadata)
            return answer if isinstance(answer, httpbody_pb2.HttpBody) else as_json(answer)

        yield call


async def download(shop, event):
    """The signed bytes of a credential."""
    answer = await shop.http.get(f"/api/v1/credentials/{event}/content", headers={"accept": "application/vc"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vc"
    return answer.content


async def verdict(anyone, body):
    """What a stranger is told of a body: whether it is verified, and the reasons against it."""
    found = answered(await anyone.post("/api/v1/credentials:verify", content=body), 200)
    return found.get("verified", False), [one["reason"] for one in found.get("refusals", [])]


async def test_a_credential_is_pending_then_the_same_at_both_doors_byte_for_byte(shop, by_grpc):
    event = (await shop.grant(*SHARING))["data_sharing"]

    async def is_pending():
        answer = await shop.http.get(f"/api/v1/credentials/{event}")
        body = answered(answer, 400)
        assert reason_of(body) == "CREDENTIAL_PENDING"
        assert any(one.get("retryDelay") == "2s" for one in body["details"])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await by_grpc("DownloadCredential", credential=event)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        progress = await shop.get(f"consentEvents/{event}/fulfilment")
        assert progress["credential"]["state"] == "PENDING"

    await is_pending()
    [begun] = await outbox.claim(shop.db, "worker", [Wanted("consent.event.recorded", 1)])
    await shop.world.fulfilment.follow(begun)
    await outbox.settle(shop.db, begun)
    await is_pending()

    done = await shop.until(event, credential="ISSUED", reward="SKIPPED", pin="PINNED")
    read = (await shop.get(f"credentials/{event}"))["credential"]
    assert read["state"] == "CREDENTIAL_STATE_ACTIVE"
    assert read["credential"] == done["credential"]["id"]
    assert (await by_grpc("GetCredential", credential=read["credential"]))["credential"] == read
    assert await by_grpc("GetFulfilment", event=event) == done
    signed = await download(shop, event)
    assert (await by_grpc("DownloadCredential", credential=event)).data == signed
    assert read["credentialJson"].encode() == signed
    [listed] = (await shop.get("credentials?purpose=data_sharing&state=CREDENTIAL_STATE_ACTIVE"))[
        "credentials"
    ]
    assert listed == read | {"credentialJson": ""}
    assert (await by_grpc("ListCredentials", purpose="data_sharing"))["credentials"] == [listed]
    assert (await shop.get("credentials?state=CREDENTIAL_STATE_REVOKED"))["credentials"] == []


async def test_anybody_verifies_a_credential_as_it_is_or_wrapped_and_nothing_too_large(shop, anyone, by_grpc):
    event = (await shop.grant(*SHARING))["data_sharing"]
    await shop.until(event, credential="ISSUED")
    signed = await download(shop, event)

    assert await verdict(anyone, signed) == (True, [])
    assert await verdict(anyone, b'{"credential": ' + signed + b"}") == (True, [])
    body = httpbody_pb2.HttpBody(content_type="application/vc", data=signed)
    assert (await by_grpc("VerifyCredential", token=None, credential=body))["verified"]
    tampered = signed.replace(b'"data_sharing"', b'"marketing"')
    assert await verdict(anyone, tampered) == (False, ["VC_SIGNATURE_INVALID"])
    assert (await verdict(anyone, b"[]"))[0] is False
    for refused in (b"{" + b" " * 65_536 + b"}", b"[" * 60_000, b"no json", b"", b"\xff\xfe"):
        answer = await anyone.post("/api/v1/credentials:verify", content=refused)
        assert answered(answer, 400)["details"], refused[:20]
        assert '"credential"' in answer.text


async def test_another_tenant_sees_nothing_of_a_credential(shop, open_shop):
    event = (await shop.grant(*SHARING))["data_sharing"]
    done = await shop.until(event, credential="ISSUED")
    other = await open_shop("south")

    credential = done["credential"]["id"]
    for path in (
        f"credentials/{credential}",
        f"credentials/{event}/content",
        f"consentEvents/{event}/fulfilment",
    ):
        assert reason_of(await other.get(path, 404)) == "RESOURCE_NOT_FOUND"
    reason = {"reason": "another tenant tries"}
    assert (
        reason_of(await other.post(f"credentials/{credential}:revoke", reason, 404)) == "RESOURCE_NOT_FOUND"
    )
    assert (await other.get("credentials"))["credentials"] == []
    assert (await shop.get(f"credentials/{credential}"))["credential"]["state"] == "CREDENTIAL_STATE_ACTIVE"


async def test_a_credential_revoked_by_hand_is_refused_everywhere_and_its_consent_stays(shop, anyone):
    event = (await shop.grant(*SHARING))["data_sharing"]
    await shop.until(event, pin="PINNED")
    signed = await download(shop, event)
    lists = f"/api/v1/statusLists/{(await shop.get(f'credentials/{event}'))['credential']['statusList']}"
    before = {"if-none-match": (await anyone.get(lists)).headers["etag"]}
    cid = (await shop.get(f"consentEvents/{event}/fulfilment"))["pin"]["id"]

    too_short = await shop.post(f"credentials/{event}:revoke", {"reason": "short"}, 400)
    assert "reason" in json.dumps(too_short)
    key, reason = {"idempotency-key": str(uuid4())}, {"reason": "issued for a test by mistake"}
    revoked = await shop.post(f"credentials/{event}:revoke", reason, **key)
    assert revoked["credential"]["state"] == "CREDENTIAL_STATE_REVOKED"
    assert revoked["credential"]["revokeReason"] == "REVOKED_BY_ISSUER"
    assert await shop.post(f"credentials/{event}:revoke", reason, **key) == revoked
    again = await shop.post(f"credentials/{event}:revoke", reason)
    assert again["credential"]["revokeTime"] == revoked["credential"]["revokeTime"]

    async def is_published():
        await asyncio.sleep(0.5)  # strangers have 60 calls a minute
        return (await anyone.get(lists, headers=before)).status_code == 200

    assert await verdict(anyone, signed) == (False, ["VC_REVOKED"])
    await eventually(is_published, 20.0, "the list with the bit")
    [held] = (await shop.get("consents?purpose=data_sharing"))["consents"]
    assert (held["consentEvent"], held["state"]) == (event, "CONSENT_STATE_GIVEN")
    await shop.until(event, credential="REVOKED", pin="PINNED")
    told = answered(await anyone.post("/api/v1/receiptPins:verify", json={"cid": cid}), 200)
    assert told["verified"]
    assert told["supersededBy"] == (await shop.get(f"consentEvents/{event}/fulfilment"))["pin"]["id"]


async def test_a_pinned_receipt_opens_with_the_salt_of_its_own_tenant_alone(shop, anyone, by_grpc, superuser):
    event = (await shop.grant(*SHARING))["data_sharing"]
    done = await shop.until(event, pin="PINNED")
    salts = {one["of"]: one["salt"] for one in done["salts"]}
    digest = hashlib.sha256(await download(shop, event)).digest()
    opening = {"of": "credential", "salt": salts["credential"], "content": base64.b64encode(digest).decode()}

    async def told(**changes):
        asked = {"cid": done["pin"]["id"], "openings": [opening | changes]}
        found = answered(await anyone.post("/api/v1/receiptPins:verify", json=asked), 200)
        return found.get("verified", False), [one["reason"] for one in found.get("refusals", [])]

    assert await told() == (True, [])
    assert await told(salt=salts["receipt"]) == (False, ["COMMITMENT_MISMATCH"])
    assert (await by_grpc("VerifyReceiptPin", token=None, cid=done["pin"]["id"]))["state"] == "active"
    for cid, status in (
        ("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", 404),
        ("no-cid", 400),
    ):
        answered(await anyone.post("/api/v1/receiptPins:verify", json={"cid": cid}), status)


async def test_public_documents_have_tags_and_outlast_the_sidecar_but_new_ones_do_not(shop, anyone, sidecar):
    event = (await shop.grant(*SHARING))["data_sharing"]
    await shop.until(event, credential="ISSUED")
    credential = (await shop.get(f"credentials/{event}"))["credential"]
    issuer = await shop.get("issuer")
    lists = f"/api/v1/statusLists/{credential['statusList']}"
    document = f"/api/v1/issuers/{issuer['issuer']}/did.json"
    assert issuer["did"] == credential["issuer"]
    assert [one["state"] for one in issuer["keys"]] == ["ACTIVE"]

    first = {path: await anyone.get(path) for path in (lists, document, "/.well-known/did.json")}
    assert first[lists].headers["content-type"] == "application/vc"
    assert first[document].headers["content-type"] == "application/did+json"
    assert first[document].json()["id"] == issuer["did"]
    for path, one in first.items():
        assert one.status_code == 200, (path, one.text)
        assert one.headers["cache-control"] == "public, max-age=30"
        tag = {"if-none-match": one.headers["etag"]}
        same = await anyone.get(path, headers=tag)
        assert (same.status_code, same.content) == (304, b"")
    assert (await verdict(anyone, first[lists].content))[0]

    await sidecar.stop()
    for path, one in first.items():
        kept = await anyone.get(path)
        assert (kept.status_code, kept.content) == (200, one.content), path
    for path, status in (
        (f"/api/v1/statusLists/{uuid4()}", 503),
        (f"/api/v1/issuers/{uuid4()}/did.json", 503),
    ):
        refused = await anyone.get(path)
        assert reason_of(answered(refused, status)) == "WEB3_UNAVAILABLE"
        assert int(refused.headers["retry-after"]) >= 1
    verified = await anyone.post("/api/v1/credentials:verify", content=await download(shop, event))
    assert reason_of(answered(verified, 503)) == "WEB3_UNAVAILABLE"
    granted = await shop.grant(*SHARING)
    assert granted["data_sharing"]

    await sidecar.start()

    async def is_back():
        return (await anyone.get(f"/api/v1/statusLists/{uuid4()}")).status_code == 404

    await eventually(is_back, 20.0, "the sidecar")
    await shop.until(granted["data_sharing"], credential="ISSUED", pin="PINNED")


async def test_a_routine_rotation_keeps_what_was_signed_and_a_repeat_by_key_rotates_once(shop, anyone):
    event = (await shop.grant(*SHARING))["data_sharing"]
    await shop.until(event, credential="ISSUED")
    old, signed = (await shop.get("issuer"))["keys"][0]["kid"], await download(shop, event)
    routine = {"reason": "KEY_ROTATION_REASON_ROUTINE"}

    key = {"idempotency-key": str(uuid4())}
    rotated = await shop.post("issuer:rotateKey", routine, **key)
    assert rotated["kid"] != old
    assert rotated["reissued"] == 0
    assert await shop.post("issuer:rotateKey", routine, **key) == rotated
    states = {one["kid"]: one["state"] for one in (await shop.get("issuer"))["keys"]}
    assert states == {old: "RETIRED", rotated["kid"]: "ACTIVE"}
    assert await verdict(anyone, signed) == (True, [])
    unnamed = await shop.post("issuer:rotateKey", {}, 400)
    assert "reason" in json.dumps(unnamed)


async def test_after_a_compromise_every_credential_that_counts_is_issued_again_once(shop, anyone):
    counting, ended = await shop.grant(*SHARING), await shop.grant(*SHARING)
    for one in (counting, ended):
        await shop.until(one["data_sharing"], pin="PINNED")
    await shop.post("consents:withdraw", {"customer": ended["customer"]})
    await shop.until(ended["data_sharing"], credential="REVOKED")
    before = {one: await download(shop, one) for one in (counting["data_sharing"], ended["data_sharing"])}
    key = {"idempotency-key": str(uuid4())}

    asked = {"reason": "KEY_ROTATION_REASON_COMPROMISED"}
    rotated = await shop.post("issuer:rotateKey", asked, **key)
    assert rotated["reissued"] == 1
    assert await shop.post("issuer:rotateKey", asked, **key) == rotated
    done = await shop.until(counting["data_sharing"], credential="ISSUED", pin="PINNED")
    fresh = await download(shop, done["credential"]["id"])

    assert await verdict(anyone, fresh) == (True, [])
    for signed in before.values():
        is_verified, reasons = await verdict(anyone, signed)
        assert not is_verified
        assert reasons
    listed = (await shop.get("credentials"))["credentials"]
    assert sorted(one["state"] for one in listed) == [
        "CREDENTIAL_STATE_ACTIVE",
        "CREDENTIAL_STATE_REVOKED",
        "CREDENTIAL_STATE_REVOKED",
    ]
