"""Consent over HTTP: notice, consent with a browser's signal, a repeat with one key, receipt, withdrawal."""

from __future__ import annotations

import uuid

import httpx
import pytest

from tests.integration.consent.crew import CONTROLLER
from tests.integration.gateway.conftest import PASSWORD

NOTICE = {
    "name": "website",
    "locale": "en",
    "content": "We group customers by how they buy.",
    "purposes": [{"purpose": "profiling"}, {"purpose": "data_sharing"}],
    "controller": {
        "name": CONTROLLER["name"],
        "address": CONTROLLER["address"],
        "contact": CONTROLLER["contact"],
        "country": "IE",
        "storageCountries": ["IE"],
        "authority": CONTROLLER["authority"],
        "rightsUrl": CONTROLLER["rights_url"],
    },
}


@pytest.fixture
async def door(gateway, person):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.http_port}") as client:
        login = {"email": person.email, "password": PASSWORD}
        answer = await client.post("/api/v1/sessions", json=login)
        client.headers["authorization"] = f"Bearer {answer.json()['tokens']['accessToken']}"
        yield client


async def post(door, path, body, **headers):
    answer = await door.post(f"/api/v1/{path}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_consent_is_given_once_by_key_refused_by_signal_and_withdrawn_with_less(door):
    notice = (await post(door, "notices", NOTICE))["notice"]["notice"]
    asked = {
        "customer": "external:ann",
        "purposes": [{"purpose": "profiling"}, {"purpose": "data_sharing"}],
        "notice": notice,
        "method": "COLLECTION_METHOD_BANNER",
    }
    key = {"idempotency-key": str(uuid.uuid4()), "sec-gpc": "1"}
    given = await post(door, "consents", asked, **key)
    assert {one["purpose"]: one["state"] for one in given["consents"]} == {
        "data_sharing": "CONSENT_STATE_REFUSED",
        "profiling": "CONSENT_STATE_GIVEN",
    }
    assert await post(door, "consents", asked, **key) == given
    events = (await door.get("/api/v1/consentEvents")).json()["events"]
    assert [(one["purpose"], one["act"], one["method"]) for one in events] == [
        ("data_sharing", "CONSENT_ACT_REFUSED", "COLLECTION_METHOD_SIGNAL"),
        ("data_sharing", "CONSENT_ACT_GIVEN", "COLLECTION_METHOD_BANNER"),
        ("profiling", "CONSENT_ACT_GIVEN", "COLLECTION_METHOD_BANNER"),
    ]
    receipt = (await door.get(f"/api/v1/receipts/{given['receipt']}")).json()
    shown = {"recordJson": receipt["recordJson"], "signature": receipt["signature"]}
    anyone = httpx.AsyncClient(base_url=door.base_url)
    assert (await post(anyone, "receipts:verify", shown))["valid"]
    withdrawn = await post(door, "consents:withdraw", {"customer": "external:ann"})
    assert {one["state"] for one in withdrawn["consents"]} == {"CONSENT_STATE_WITHDRAWN"}
    assert (await post(anyone, "receipts:verify", shown))["revoked"]
    assert (await anyone.get(f"/api/v1/notices/{notice}")).json()["notice"]["content"] == NOTICE["content"]
    await anyone.aclose()


async def test_withdrawing_asks_for_nothing_that_giving_does_not():
    from cohortlens.v1 import consent_acts_pb2, consent_pb2

    def fields(name):
        return set(consent_acts_pb2.DESCRIPTOR.message_types_by_name[name].fields_by_name)

    methods = consent_pb2.DESCRIPTOR.services_by_name["ConsentService"].methods_by_name
    from cohortlens.v1 import common_pb2

    grant, withdraw = (
        methods[name].GetOptions().Extensions[common_pb2.policy]
        for name in ("GrantConsent", "WithdrawConsent")
    )
    assert fields("WithdrawConsentRequest") <= fields("GrantConsentRequest")
    assert set(withdraw.scopes) <= set(grant.scopes)
    assert withdraw.never_shed


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"customer": "ann"}, "customer"),
        ({"purposes": [{"purpose": "rewards"}]}, "purposes[0]"),
        ({"method": "COLLECTION_METHOD_SYSTEM"}, "method"),
        ({"collectTime": "2999-01-01T00:00:00Z"}, "collect_time"),
        ({"notice": ""}, "notice"),
    ],
)
async def test_a_fault_names_its_field(door, change, field):
    notice = (await post(door, "notices", NOTICE))["notice"]["notice"]
    asked = {"customer": "external:ann", "purposes": [{"purpose": "profiling"}], "notice": notice, **change}
    answer = await door.post("/api/v1/consents", json=asked)
    assert answer.status_code == 400
    assert f'"{field}' in answer.text


async def test_an_erased_person_can_take_back_and_nothing_else(door, superuser):
    notice = (await post(door, "notices", NOTICE))["notice"]["notice"]
    asked = {"customer": "external:ann", "purposes": [{"purpose": "profiling"}], "notice": notice}
    await post(door, "consents", asked)
    await superuser.execute(
        "UPDATE consent_identities SET erased_at = now(), ident_enc = NULL, data_key_enc = NULL,"
        " customer_id = NULL"
    )
    refused = await door.post("/api/v1/consents", json=asked)
    assert refused.status_code == 400
    assert "CUSTOMER_ERASED" in refused.text
    taken_back = await post(door, "consents:withdraw", {"customer": "external:ann"})
    assert {one["state"] for one in taken_back["consents"]} == {"CONSENT_STATE_WITHDRAWN"}
    assert "ann" not in str(taken_back)
    kinds = await superuser.fetch("SELECT DISTINCT type FROM consent_events ORDER BY type")
    assert [one["type"] for one in kinds] == ["GIVEN", "WITHDRAWN"]
