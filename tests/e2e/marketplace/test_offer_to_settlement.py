"""From an offer to its settlement on one stack: answers with noise, a credential that verifies, a withdrawal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from google.protobuf import json_format

from cohortlens.cli.seed_consents import demo_controller
from cohortlens.v1 import consent_acts_pb2
from tests.fixtures.waiting import eventually_blocking


@pytest.fixture(scope="module")
def buyer(stack):
    with stack.new_tenant("owner@market-buyer.example", "basic") as client:
        yield client


@pytest.fixture(scope="module")
def doors(stack, demo, buyer):
    """The HTTP doors of seller and buyer."""

    def door(client):
        def send(verb, path, body=None):
            answer = httpx.request(
                verb,
                f"{stack.http}/api/v1/{path}",
                json=body,
                headers={"authorization": f"Bearer {client.access_token()}"},
                timeout=60,
            )
            assert answer.status_code == 200, f"{verb} {path}: {answer.status_code} {answer.text}"
            return answer.json()

        return send

    return door(demo), door(buyer)


def sharing(send):
    """130 customers of the seller who agreed to the sharing of figures; names in the seller's own data."""
    told = {
        "name": "market",
        "locale": "en",
        "content": "We share figures about groups of customers.",
        "purposes": [{"purpose": "data_sharing"}],
        "controller": json_format.MessageToDict(demo_controller()),
    }
    notice = send("POST", "notices", told)["notice"]["notice"]
    names = [one["externalId"] for one in send("GET", "customers?pageSize=130")["customers"]]
    decision = {"act": "CONSENT_ACT_GIVEN", "purposes": [{"purpose": "data_sharing"}], "notice": notice}
    records = [{"customer": f"external:{name}", **decision} for name in names]
    assert send("POST", "consents:batch", {"records": records})["events"] == 130
    return names


def finalized(send, name):
    """The agreement, once it is settled."""
    agreement = send("GET", f"agreements/{name}")["agreement"]
    return agreement if agreement["state"] == "AGREEMENT_STATE_FINALIZED" else None


def test_an_offer_is_asked_for_agreed_answered_settled_and_follows_a_withdrawal(stack, demo, doors):
    seller, buyer = doors
    names = sharing(seller)
    tariff = seller("GET", "rewardTariff")["tariff"]
    tariff |= {"enabled": True, "termsVersion": "on-chain-1", "monthlyBudgetMicro": "100000000000"}
    seller("PUT", "rewardTariff", {"tariff": {**tariff, "rates": [], "etag": tariff.get("etag", "0")}})
    spec = {
        "title": "How our customers buy",
        "dimensions": [{"dimension": "band", "values": ["0-99999", "100000-"]}],
        "measures": ["mean_spend"],
        "clipMinor": "100000",
        "incentiveMicro": "2000007",
        "epsilonMilli": 500,
        "endTime": (datetime.now(UTC) + timedelta(days=60)).isoformat(),
    }
    draft = seller("POST", "offers", {"spec": spec})["offer"]["offer"]
    assert seller("POST", f"offers/{draft}:publish", {})["offer"]["state"] == "OFFER_STATE_PUBLISHED"
    assert draft in {one["offer"] for one in buyer("GET", "offers")["offers"]}
    assert buyer("GET", f"offers/{draft}:sample")["isSynthetic"]

    asked = {"offerVersion": 1, "purpose": "data_sharing"}
    name = buyer("POST", f"offers/{draft}/accessRequests", asked)["agreement"]["agreement"]
    seller("POST", f"accessRequests/{name}:approve", {})
    question = {"question": {"measures": ["count"], "dimensions": ["band"]}}
    first = buyer("POST", f"agreements/{name}/queries", question)["query"]
    again = buyer("POST", f"agreements/{name}/queries", question)["query"]
    assert (first["chargedMilli"], again.get("chargedMilli", 0)) == (500, 0)
    assert again["answer"] == first["answer"]

    assert eventually_blocking(lambda: finalized(buyer, name), 90.0)
    settlement = seller("GET", f"agreements/{name}/settlement")
    assert [one["step"] for one in settlement["steps"] if "time" in one] == [
        "PAID",
        "BOOKED",
        "REWARDED",
        "CREDENTIAL",
        "PINNED",
    ]
    amounts = {one["account"]: int(one["amount"]) for one in settlement["accounts"]}
    assert amounts == {"INCENTIVE": -2_000_007, "CONTRIBUTOR": 2_000_007}
    assert settlement["cid"].startswith("b")
    credential = settlement["credentialJson"].encode()
    assert "AgreementCredential" in json.loads(credential)["type"]
    assert verified(stack, credential)["verified"]

    withdrawal = consent_acts_pb2.WithdrawConsentRequest(
        customer=f"external:{names[0]}", purposes=[{"purpose": "data_sharing"}]
    )
    demo.call(demo.consent.WithdrawConsent, withdrawal)
    after = buyer("POST", f"agreements/{name}/queries", question)["query"]
    assert after["answer"]["revision"] == first["answer"]["revision"] + 1
    buyer("POST", f"agreements/{name}:terminate", {"reason": "enough"})
    refusals = eventually_blocking(lambda: verified(stack, credential).get("refusals"), 90.0)
    assert "VC_REVOKED" in {one["reason"] for one in refusals}


def verified(stack, credential):
    """What anybody is told of a credential."""
    answer = httpx.post(
        f"{stack.http}/api/v1/credentials:verify",
        content=credential,
        headers={"content-type": "application/vc+ld+json"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()
