"""The client against the whole stack: stored sessions, keys, pages, streams, files, failures, HTTP."""

import asyncio
import json
import urllib.request
import uuid

import pytest

from cohortlens.client import ApiKey, CohortLens, FileTokenStore, Password, v1
from cohortlens.client.errors import InvalidArgument, NotFound, PermissionDenied, Unauthenticated, Unavailable
from cohortlens.client.http import request_of
from tests.fixtures.waiting import eventually_blocking

ORDERS = b"customer_id,order_date,amount\n" + b"".join(
    b"client-%d,2026-0%d-11,%d.50\n" % (row % 7, 1 + row % 9, row) for row in range(40)
)


@pytest.fixture(scope="module")
def login(stack):
    account = json.loads((stack.data_dir / "credentials.json").read_text())["tenants"][0]
    return Password(account["email"], account["password"])


@pytest.fixture(scope="module")
def client(stack, login):
    with CohortLens.sync(stack.grpc, login) as found:
        yield found


async def test_both_forms_read_every_page_in_the_same_order(stack, login, client):
    asked = v1.ListCustomersRequest(page_size=1000)
    blocking = [row.customer for row in client.customers.iter_customers(asked)]
    async with CohortLens(stack.grpc, login) as other:
        found = [row.customer async for row in other.customers.iter_customers(asked)]
    assert found == blocking
    assert len(set(found)) == len(found) > 1000


def test_a_stored_session_serves_the_next_program_without_a_password(stack, login, tmp_path):
    store = FileTokenStore(tmp_path / "tokens.json")
    with CohortLens.sync(stack.grpc, login, store=store) as first:
        tenant = first.auth.get_me().tenant
    with CohortLens.sync(stack.grpc, store=FileTokenStore(tmp_path / "tokens.json")) as second:
        assert second.auth.get_me().tenant == tenant
    kept = store.load()
    store.save(type(kept)(kept.access_token, kept.refresh_token, 0.0))
    with CohortLens.sync(stack.grpc, store=store) as third:
        assert third.auth.get_me().tenant == tenant
    assert store.load().refresh_token != kept.refresh_token


def test_a_key_may_what_it_was_made_for_and_no_more(stack, client):
    made = client.auth.create_api_key(
        v1.CreateApiKeyRequest(display_name="nightly export", scopes=["customers.read"])
    )
    with CohortLens.sync(stack.grpc, ApiKey(made.secret)) as other:
        assert other.customers.list_customers(v1.ListCustomersRequest(page_size=1)).customers
        with pytest.raises(PermissionDenied) as refused:
            other.analytics.start_segmentation(v1.StartSegmentationRequest())
    assert refused.value.reason == "SCOPE_MISSING"


def test_a_failure_has_its_class_its_reason_the_fields_and_the_request(stack, client):
    with pytest.raises(NotFound) as missing:
        client.customers.get_customer(v1.GetCustomerRequest(customer=str(uuid.uuid4())))
    assert missing.value.reason == "RESOURCE_NOT_FOUND"
    assert missing.value.request_id
    with pytest.raises(InvalidArgument) as wrong:
        client.analytics.predict(v1.PredictRequest(horizon_days=-1))
    assert {"task", "horizon_days"} <= {one.field for one in wrong.value.violations}
    with (
        CohortLens.sync(stack.grpc, Password("nobody@x.example", "not this one")) as nobody,
        pytest.raises(Unauthenticated),
    ):
        nobody.auth.get_me()
    with (
        CohortLens.sync("127.0.0.1:9") as nowhere,
        pytest.raises(Unavailable) as away,
    ):
        nowhere.billing.list_plans(timeout_s=1)
    assert away.value.reason == "SERVICE_UNREACHABLE"


def test_a_file_goes_up_in_pieces_and_its_import_ends(client):
    def parts():
        yield v1.ImportTransactionsRequest(options=v1.ImportOptions(dry_run=True, file_name="orders.csv"))
        for at in range(0, len(ORDERS), 300):
            yield v1.ImportTransactionsRequest(chunk=ORDERS[at : at + 300])

    stored = client.customers.import_transactions(parts()).import_

    def ended():
        now = client.customers.get_import(v1.GetImportRequest(import_=stored.import_)).import_
        return now if now.state in (v1.WorkState.SUCCEEDED, v1.WorkState.FAILED) else None

    done = eventually_blocking(ended, 60)
    assert (done.state, done.rows.read) == (v1.WorkState.SUCCEEDED, 40)


async def test_a_stream_begins_with_the_state_of_everybody_and_loses_nobody_behind_its_token(stack, login):
    async with CohortLens(stack.grpc, login) as client:
        whole = await told(client.consent.watch_consents(timeout_s=60))
        token = whole[0].resume_token
        rest = await told(
            client.consent.watch_consents(v1.WatchConsentsRequest(resume_token=token), timeout_s=60)
        )
    assert len(people(whole)) > 1000
    assert people(whole[1:]) <= people(rest)


async def told(changes):
    """The messages of a stream until it has told of everybody, then left."""
    found = []
    async with asyncio.timeout(60):
        while not found or found[-1].resume_token == found[0].resume_token:
            found.append(await anext(changes))
    await changes.aclose()
    return found


def people(messages):
    return {change.identity for message in messages for change in message.changes}


def test_the_request_over_http_gets_the_same_answer(stack, client):
    listed = client.customers.list_customers(v1.ListCustomersRequest(page_size=1)).customers[0]
    message = v1.GetCustomerRequest(customer=f"external:{listed.external_id}")
    request = request_of("CustomersService.GetCustomer", message)
    key = client.auth.create_api_key(v1.CreateApiKeyRequest(display_name="http", scopes=["customers.read"]))
    call = urllib.request.Request(
        f"{stack.http}{request.target}",
        method=request.verb,
        headers={"authorization": f"Bearer {key.secret}"},
    )
    with urllib.request.urlopen(call, timeout=10) as reply:
        over_http = v1.GetCustomerResponse.from_json(reply.read())
    assert over_http == client.customers.get_customer(message)
