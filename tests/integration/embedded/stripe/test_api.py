"""Requests are answered as Stripe answers them: keys, lists, errors, faults on purpose."""

from __future__ import annotations

import pytest
import stripe

from tests.fixtures.fake_stripe import BROWSER, DAY, KEY


def _keyed(key):
    return {"idempotency_key": key}


def test_the_same_key_and_parameters_give_the_same_answer_and_one_effect(fake_stripe):
    create = fake_stripe.v1.customers.create
    first = create(params={"email": "a@b.c"}, options=_keyed("k1"))
    second = create(params={"email": "a@b.c"}, options=_keyed("k1"))
    assert first.id == second.id
    assert second.last_response.headers["idempotent-replayed"] == "true"
    assert len(fake_stripe.v1.customers.list().data) == 1
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        create(params={"email": "other@b.c"}, options=_keyed("k1"))


def test_a_failure_of_the_server_is_repeated_for_its_key_and_changed_nothing(fake_stripe):
    fake_stripe.knob("requests", match="/v1/customers", method="POST", times=1, status=500)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            fake_stripe.v1.customers.create(params={"email": "a@b.c"}, options=_keyed("k"))
    assert fake_stripe.v1.customers.list().data == []
    assert fake_stripe.v1.customers.create(params={"email": "a@b.c"}, options=_keyed("k2")).id


def test_a_failure_after_the_deed_shows_no_answer_but_has_its_effect_once(fake_stripe):
    fake_stripe.knob("requests", match="/v1/customers", method="POST", times=1, cut=True, after=True)
    with pytest.raises(stripe.APIConnectionError):
        fake_stripe.v1.customers.create(params={"email": "a@b.c"}, options=_keyed("k"))
    made = fake_stripe.v1.customers.create(params={"email": "a@b.c"}, options=_keyed("k"))
    assert [one.id for one in fake_stripe.v1.customers.list().data] == [made.id]


def test_what_was_too_much_or_wrong_may_be_tried_again_with_its_key(fake_stripe):
    fake_stripe.knob("requests", match="/v1/customers", method="POST", times=1, status=429)
    with pytest.raises(stripe.RateLimitError):
        fake_stripe.v1.customers.create(params={"email": "a@b.c"}, options=_keyed("k"))
    assert fake_stripe.v1.customers.create(params={"email": "a@b.c"}, options=_keyed("k")).email == "a@b.c"


def test_a_late_answer_is_late(fake_stripe):
    fake_stripe.knob("requests", match="/v1/customers", wait=30)
    impatient = stripe.StripeClient(
        KEY,
        base_addresses={"api": fake_stripe.url},
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=0.3),
    )
    with pytest.raises(stripe.APIConnectionError):
        impatient.v1.customers.list()
    fake_stripe.knob("clear")
    assert fake_stripe.v1.customers.list().data == []


def test_a_declined_payment_is_a_card_error_and_is_remembered_for_its_key(fake_stripe):
    subscription = fake_stripe.subscription("pm_card_chargeCustomerFail")
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            fake_stripe.v1.invoices.pay(subscription.latest_invoice, options=_keyed("pay"))
    assert (caught.value.code, caught.value.http_status) == ("card_declined", 402)
    invoice = fake_stripe.v1.invoices.retrieve(subscription.latest_invoice)
    assert invoice.attempt_count == 2, "the first of the subscription, one of the key"


def test_errors_have_the_envelope_of_stripe(fake_stripe):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        fake_stripe.v1.customers.retrieve("cus_none")
    error = caught.value
    assert (error.http_status, error.code, error.param) == (404, "resource_missing", "id")
    assert error.user_message == "No such customer: 'cus_none'"
    assert error.request_id.startswith("req_")
    with pytest.raises(stripe.InvalidRequestError, match="Received unknown parameter: colour") as caught:
        fake_stripe.v1.customers.create(params={"colour": "red"})
    assert caught.value.code == "parameter_unknown"
    with pytest.raises(stripe.InvalidRequestError, match="Missing required param: currency"):
        fake_stripe.v1.prices.create(params={"product": "x", "product_data": {"name": "n"}, "unit_amount": 1})
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        fake_stripe.client.raw_request("get", "/v1/payouts")


def test_another_key_opens_nothing(fake_stripe):
    other = stripe.StripeClient("sk_test_other", base_addresses={"api": fake_stripe.url})
    with pytest.raises(stripe.AuthenticationError):
        other.v1.customers.list()
    assert BROWSER.post(f"{fake_stripe.url}/_control/clear").status_code == 401
    assert "sk_test_other" not in str(BROWSER.get(f"{fake_stripe.url}/v1/customers").text)


def test_a_page_of_somebody_else_cannot_reach_it_under_another_name(fake_stripe):
    answer = BROWSER.get(f"{fake_stripe.url}/livez", headers={"Host": "evil.example"})
    assert answer.status_code == 403


def test_lists_come_in_pages_newest_first(fake_stripe):
    made = [fake_stripe.v1.products.create(params={"name": f"P{n}"}).id for n in range(5)]
    first = fake_stripe.v1.products.list(params={"limit": 2})
    assert ([one.id for one in first.data], first.has_more) == ([made[4], made[3]], True)
    second = fake_stripe.v1.products.list(params={"limit": 2, "starting_after": made[3]})
    assert [one.id for one in second.data] == [made[2], made[1]]
    before = fake_stripe.v1.products.list(params={"limit": 2, "ending_before": made[1]})
    assert [one.id for one in before.data] == [made[3], made[2]]
    assert [one.id for one in first.auto_paging_iter()] == made[::-1]
    with pytest.raises(stripe.InvalidRequestError, match="between 1 and 100"):
        fake_stripe.v1.products.list(params={"limit": 101})


def test_references_become_objects_when_asked(fake_stripe):
    subscription = fake_stripe.subscription()
    found = fake_stripe.v1.subscriptions.list(
        params={"status": "all", "expand": ["data.items.data.price.product", "data.latest_invoice.customer"]}
    ).data[0]
    assert found["items"].data[0].price.product.name == "Basic"
    assert found.latest_invoice.customer.id == subscription.customer
    with pytest.raises(stripe.InvalidRequestError, match=r"cannot be expanded \(moon\)"):
        fake_stripe.v1.subscriptions.retrieve(subscription.id, params={"expand": ["moon"]})


def test_search_finds_by_fields_and_metadata(fake_stripe):
    wanted = fake_stripe.v1.customers.create(params={"email": "x@y.z", "metadata": {"tenant_id": "t1"}})
    fake_stripe.v1.customers.create(params={"email": "x@y.z", "metadata": {"tenant_id": "t2"}})
    found = fake_stripe.v1.customers.search(params={"query": "metadata['tenant_id']:'t1' AND email:'x@y.z'"})
    assert [one.id for one in found.data] == [wanted.id]
    with pytest.raises(stripe.InvalidRequestError, match="Invalid search query"):
        fake_stripe.v1.customers.search(params={"query": "drop table"})


def test_a_lookup_key_belongs_to_one_price_and_moves_when_asked(fake_stripe):
    first = fake_stripe.price(lookup_key="basic")
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        fake_stripe.price(lookup_key="basic")
    second = fake_stripe.price(lookup_key="basic", transfer_lookup_key=True)
    found = fake_stripe.v1.prices.list(params={"lookup_keys": ["basic"]})
    assert [one.id for one in found.data] == [second.id]
    assert fake_stripe.v1.prices.retrieve(first.id).lookup_key is None


def test_usage_counts_once_for_an_identifier_and_not_from_long_ago(fake_stripe):
    v1, customer = fake_stripe.v1, fake_stripe.customer(None)
    v1.billing.meters.create(
        params={"display_name": "Calls", "event_name": "calls", "default_aggregation": {"formula": "sum"}}
    )
    [meter] = v1.billing.meters.list().data
    event = {"event_name": "calls", "payload": {"stripe_customer_id": customer.id, "value": "7"}}
    sent = v1.billing.meter_events.create(params={**event, "identifier": "once"})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        v1.billing.meter_events.create(params={**event, "identifier": "once"})
    assert caught.value.param == "identifier"
    for offset, reason in ((-36 * DAY, "35 days in the past"), (600, "in the future")):
        with pytest.raises(stripe.InvalidRequestError, match=reason):
            v1.billing.meter_events.create(params={**event, "timestamp": sent.timestamp + offset})
    minute = sent.timestamp // 60 * 60
    span = {"customer": customer.id, "start_time": minute - 60, "end_time": minute + 60}
    assert v1.billing.meters.event_summaries.list(meter.id, params=span).data[0].aggregated_value == 7
    with pytest.raises(stripe.InvalidRequestError, match="No active meter"):
        v1.billing.meter_events.create(params={**event, "event_name": "other"})


def test_an_answer_names_its_request_and_its_version(fake_stripe):
    headers = fake_stripe.v1.customers.list().last_response.headers
    assert headers["stripe-version"] == "2026-10-28.endive"
    assert headers["request-id"].startswith("req_")
