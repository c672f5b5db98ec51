"""A person's data requests through the doors of a running stack: by staff, by a link, worked on by jobs."""

from __future__ import annotations

import io
import json
import zipfile

import httpx
import pytest

from cohortlens.v1 import customers_pb2
from tests.fixtures.waiting import eventually_blocking

CSV = b"customer,date,amount,sku\nann,2026-01-03,10.00,tea\nbob,2026-02-03,20.00,tea\nann,2026-01-09,1,tea\n"
PAGE = "https://shop.example/privacy"


@pytest.fixture(scope="module")
def shop(stack):
    """A client of a new tenant with two customers, and a caller of its JSON routes."""
    client = stack.new_tenant("rights@shop.example")
    stored = client.import_transactions(customers_pb2.ImportOptions(file_name="a.csv"), io.BytesIO(CSV).read)
    wait_for_import(client, getattr(stored, "import"))
    return client


@pytest.fixture
def call(stack, shop):
    """POST to a route as the tenant; GET without a body."""

    def send(path, body=None, *, anonymous=False):
        headers = {} if anonymous else {"authorization": f"Bearer {shop.access_token()}"}
        url = f"{stack.http}/api/v1/{path}"
        if body is None:
            return httpx.get(url, headers=headers, timeout=20)
        return httpx.post(url, json=body, headers=headers, timeout=20)

    return send


def wait_for_import(client, identifier):
    request = customers_pb2.GetImportRequest(**{"import": identifier})
    eventually_blocking(
        lambda: getattr(client.call(client.customers.GetImport, request), "import").state >= 3, 60.0
    )
    return getattr(client.call(client.customers.GetImport, request), "import")


def completed(call, request):
    def found():
        shown = call(f"dataRequests/{request}").json()["dataRequest"]
        return shown if shown["state"].endswith(("COMPLETED", "FAILED")) else None

    return eventually_blocking(found, 60.0)


def ask(call, customer, type_):
    body = {
        "customer": customer,
        "type": f"DATA_REQUEST_TYPE_{type_}",
        "channel": "DATA_REQUEST_CHANNEL_EMAIL",
        "identityVerification": "seen at the desk",
    }
    answer = call("dataRequests", body)
    assert answer.status_code == 200, answer.text
    request = answer.json()["dataRequest"]["dataRequest"]
    assert call(f"dataRequests/{request}:approve", {}).status_code == 200
    return request


def test_access_by_staff_ends_in_an_archive(call):
    request = ask(call, "external:ann", "ACCESS")
    assert completed(call, request)["state"] == "DATA_REQUEST_STATE_COMPLETED"
    answer = call(f"dataRequests/{request}/content")
    assert answer.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert len(json.loads(archive.read("customers/transactions.json"))) == 2


def test_a_person_decides_and_asks_by_a_link_and_opens_nothing_else(call):
    made = call("consents:createLink", {"customer": "external:ann", "pageUrl": PAGE}).json()
    secret = made["url"].removeprefix(f"{PAGE}#")
    token = call("consents:openLink", {"secret": secret}, anonymous=True).json()["token"]
    again = call("consents:openLink", {"secret": secret}, anonymous=True)
    assert again.status_code == 401

    withdrawn = call("own/consents", {"token": token, "act": "CONSENT_ACT_WITHDRAWN"}, anonymous=True)
    assert withdrawn.status_code == 200, withdrawn.text
    assert {one["state"] for one in withdrawn.json()["consents"]} == {"CONSENT_STATE_WITHDRAWN"}
    listed = call("own/consents:list", {"token": token}, anonymous=True).json()
    assert listed["consents"] == withdrawn.json()["consents"]

    body = {"token": token, "type": "DATA_REQUEST_TYPE_ACCESS"}
    request = call("own/dataRequests", body, anonymous=True).json()["dataRequest"]["dataRequest"]
    assert call(f"dataRequests/{request}:approve", {}).status_code == 200
    completed(call, request)
    file = call("own/dataRequests:download", {"token": token, "dataRequest": request}, anonymous=True)
    assert zipfile.ZipFile(io.BytesIO(file.content)).testzip() is None


def test_the_token_of_a_person_is_no_access_token(stack, call):
    made = call("consents:createLink", {"customer": "external:ann", "pageUrl": PAGE}).json()
    secret = made["url"].removeprefix(f"{PAGE}#")
    token = call("consents:openLink", {"secret": secret}, anonymous=True).json()["token"]
    answer = httpx.get(
        f"{stack.http}/api/v1/customers", headers={"authorization": f"Bearer {token}"}, timeout=20
    )
    assert answer.status_code == 401


def test_an_erased_customer_is_gone_cannot_be_imported_again_and_the_chain_verifies(shop, call):
    request = ask(call, "external:bob", "ERASURE")
    shown = completed(call, request)
    assert shown["state"] == "DATA_REQUEST_STATE_COMPLETED"
    steps = {step["name"]: step for step in shown["steps"]}
    assert steps["customers"]["rowsFound"] == steps["customers"]["rowsErased"] != "0"
    names = {one["externalId"] for one in call("customers").json()["customers"]}
    assert names == {"ann"}
    stored = shop.import_transactions(customers_pb2.ImportOptions(file_name="b.csv"), io.BytesIO(CSV).read)
    again = wait_for_import(shop, getattr(stored, "import"))
    assert again.rows.rejected == 1
    assert (
        call("consents", {"customer": "external:bob", "purposes": [], "notice": request}).status_code == 400
    )
    assert call("auditEvents:verify", {}).json()["ok"] is True
