"""A customer of a running stack with something in every store of it: orders, decisions, rewards, analytics, requests."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from uuid import uuid4

import httpx

from cohortlens.cli.consent import DemoWallet
from cohortlens.v1 import analytics_pb2, customers_pb2
from tests.fixtures.waiting import eventually_blocking

PURPOSES = ("rewards", "profiling", "data_sharing")
NOTICE = {
    "name": "canary",
    "locale": "en",
    "content": "We group customers by how they buy, share figures about groups, and pay tokens for it.",
    "controller": {
        "name": "Demo Retail",
        "address": "1 Demo Street",
        "contact": "privacy@demo-retail.example",
        "country": "DE",
        "storageCountries": ["DE"],
        "authority": "The data protection authority",
        "rightsUrl": "https://demo-retail.example/privacy",
    },
}


@dataclass
class Person:
    """A customer, with a word of its own in every text that a tenant can store about them.

    Attributes:
        word: Stands in every text below.
        external_id: The tenant's identifier.
        customer_id: Ours.
        identity_id: Of the decisions.
        notice: What they were told.
        events: Acts of consent by purpose.
    """

    word: str = field(default_factory=lambda: f"kanarie{uuid4().hex[:12]}")
    customer_id: str = ""
    identity_id: str = ""
    notice: str = ""
    events: dict[str, str] = field(default_factory=dict)

    @property
    def external_id(self) -> str:
        return f"name-{self.word}"

    @property
    def customer(self) -> str:
        return f"external:{self.external_id}"


class Shop:
    """The tenant at the HTTP doors of the stack."""

    def __init__(self, stack, client):
        self.stack, self.client = stack, client

    def ask(self, verb, path, body=None):
        return httpx.request(
            verb,
            f"{self.stack.http}/api/v1/{path}",
            json=body,
            headers={"authorization": f"Bearer {self.client.access_token()}"},
            timeout=60,
        )

    def send(self, verb, path, body=None):
        answer = self.ask(verb, path, body)
        assert answer.status_code == 200, f"{verb} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def post(self, path, body=None):
        return self.send("POST", path, body or {})

    def get(self, path):
        return self.send("GET", path)

    def once_answered(self, verb, path, body=None):
        """The answer of a call that fails until something else has happened."""

        def answered():
            answer = self.ask(verb, path, body)
            return answer.json() if answer.status_code == 200 else None

        return eventually_blocking(answered, 90.0)

    def data_request(self, person, type_, **more):
        """A request that was approved, once its work has ended."""
        body = {
            "customer": person.customer,
            "type": f"DATA_REQUEST_TYPE_{type_}",
            "channel": "DATA_REQUEST_CHANNEL_EMAIL",
            "identityVerification": f"knew the word {person.word}",
            "requestId": str(uuid4()),
            **more,
        }
        name = self.post("dataRequests", body)["dataRequest"]["dataRequest"]
        self.post(f"dataRequests/{name}:approve", {"requestId": str(uuid4())})

        def ended():
            shown = self.get(f"dataRequests/{name}")["dataRequest"]
            assert shown["state"] != "DATA_REQUEST_STATE_FAILED", shown
            return shown if shown["state"] == "DATA_REQUEST_STATE_COMPLETED" else None

        return eventually_blocking(ended, 90.0)

    def imported(self, person, file_name):
        """An import of their orders, one of which has a fault that an import shows."""
        word = person.word
        rows = [
            "customer,date,amount,order_id,sku,country,note",
            f"{person.external_id},1997-03-03,11.5,order-{word},sku-{word},NL,x",
            f"{person.external_id},1997-04-09,20,order2-{word},sku-{word},NL,x",
            f"{person.external_id},born-{word},20,order3-{word},sku-{word},NL,x",
        ]
        data = ("\n".join(rows) + "\n").encode()
        options = customers_pb2.ImportOptions(file_name=file_name, request_id=str(uuid4()))
        stored = self.client.import_transactions(options, io.BytesIO(data).read)
        request = customers_pb2.GetImportRequest(**{"import": getattr(stored, "import")})

        def ended():
            found = getattr(self.client.call(self.client.customers.GetImport, request), "import")
            return found if found.state >= 3 else None

        return eventually_blocking(ended, 60.0)


def switch_tokens_on(shop):
    tariff = shop.get("rewardTariff")["tariff"]
    shop.send(
        "PUT",
        "rewardTariff",
        {
            "tariff": {
                "enabled": True,
                "termsVersion": "on-chain-1",
                "delivery": "MINT",
                "monthlyBudgetMicro": "100000000000",
                "etag": tariff.get("etag", ""),
                "rates": [{"purpose": "data_sharing", "amountMicro": "1000000", "chain": "REWARD_CHAIN_EVM"}],
            }
        },
    )


def consent(shop, person):
    """Consent to everything, with evidence; then the wallet that the rewards wait for."""
    told = shop.post("notices", NOTICE | {"purposes": [{"purpose": one} for one in PURPOSES]})
    person.notice = told["notice"]["notice"]
    grant = {
        "customer": person.customer,
        "notice": person.notice,
        "purposes": [{"purpose": one} for one in PURPOSES],
        "method": "COLLECTION_METHOD_FORM",
        "evidence": {
            "address": "203.0.113.77",
            "userAgent": f"browser {person.word}",
            "url": f"https://demo-retail.example/{person.word}",
        },
        "requestId": str(uuid4()),
    }
    for one in shop.post("consents", grant)["consents"]:
        person.events[one["purpose"]] = one["consentEvent"]
    wallet = DemoWallet()
    try:
        asked = {"customer": person.customer, "chain": "REWARD_CHAIN_EVM", "address": wallet.addresses["evm"]}
        challenge = shop.post("wallets:challenge", asked)
        signature = base64.b64encode(wallet.sign("evm", challenge["message"])).decode()
        shop.post("wallets", {"challenge": challenge["challenge"], "signature": signature})
    finally:
        wallet.close()


def fulfilled(shop, event):
    """What followed an act, once its reward is final and its receipt is pinned."""
    path = f"consentEvents/{event}/fulfilment"
    shop.once_answered("GET", path)

    def done():
        found = shop.get(path)
        return found if (found["pin"]["state"], found["reward"]["state"]) == ("PINNED", "FINAL") else None

    return eventually_blocking(done, 90.0)


def use_in_analytics(shop, person):
    """Predictions, an explanation, a batch over all customers, and an uploaded file that names the person."""
    task = {"task": "PREDICTION_TASK_SPEND", "customers": [person.customer], "requestId": str(uuid4())}
    predicted = shop.once_answered("POST", "predict", task)
    assert predicted["predictions"], predicted
    shop.post("explain", {"task": "PREDICTION_TASK_SPEND", "customers": [person.customer]})
    vector = list(
        shop.client.call(
            shop.client.analytics.GetFeatures, analytics_pb2.GetFeaturesRequest(customer=person.customer)
        ).features.values
    )
    schema = shop.client.call(shop.client.analytics.GetFeatureSchema, analytics_pb2.GetFeatureSchemaRequest())
    names = [column.name for column in schema.columns]
    texts = ["" if value != value else repr(value) for value in vector]
    lines = [",".join(["lead", *names]), ",".join([person.external_id, *texts])]
    options = analytics_pb2.BatchInputOptions(file_name=f"of {person.external_id}.csv", id_column="lead")
    given = shop.client.upload_batch_input(options, io.BytesIO("\n".join(lines).encode()).read)
    for wanted in ({"allCustomers": True}, {"input": given.input}):
        body = {"task": "PREDICTION_TASK_SPEND", "horizonDays": 90, **wanted}
        batch_ended(shop, shop.post("batchPredictions", body)["batch"]["batch"])


def ask_about(shop, person):
    """Requests, a hold and a link, with words of staff that name the person."""
    refused = {
        "customer": person.customer,
        "type": "DATA_REQUEST_TYPE_ACCESS",
        "channel": "DATA_REQUEST_CHANNEL_PHONE",
    }
    name = shop.post("dataRequests", refused)["dataRequest"]["dataRequest"]
    shop.post(f"dataRequests/{name}:reject", {"reason": f"did not know the word {person.word}"})
    correction = {"name": "attributes.note", "value": person.word}
    shop.data_request(person, "RECTIFICATION", corrections=[correction])
    for held in (True, False):
        hold = {"customer": person.customer, "reason": f"dispute about {person.word}", "isHeld": held}
        shop.post("legalHolds", hold)
    shop.post("consents:createLink", {"customer": person.customer, "pageUrl": "https://shop.example/me"})
    asked = shop.data_request(person, "ACCESS")
    person.identity_id, person.customer_id = asked["identity"], asked["customerId"]


def batch_ended(shop, batch):
    """Wait for the result of a batch."""

    def ended():
        found = shop.get(f"batchPredictions/{batch}")["batch"]
        assert found["state"] != "WORK_STATE_FAILED", found
        return found["state"] == "WORK_STATE_SUCCEEDED"

    eventually_blocking(ended, 90.0)
