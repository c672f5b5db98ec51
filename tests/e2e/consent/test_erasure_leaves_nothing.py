"""A customer whose data lie in every store of a running stack is erased; then everything is searched for them."""

from __future__ import annotations

import asyncio

import pytest

from cohortlens.embedded import secrets
from cohortlens.embedded.postgres import database_urls
from tests.e2e.consent import lives
from tests.fixtures.canaries import in_files, in_redis, in_tables

OF_THE_IDENTITY = {
    "audit_log",
    "consent_events",
    "consent_fulfilments",
    "consent_identities",
    "consent_receipts",
    "data_requests",
    "outbox",
    "user_consents",
    "verifiable_credentials",
}
"""Decisions stay as proof under an identity that leads to nobody; these tables may hold it."""


def search(stack, *marks):
    """Where each mark stands: tables, keys of Redis, files."""
    values = secrets.load_or_create(stack.data_dir)
    postgres = database_urls(values, int(stack.environ["COHORTLENS_POSTGRES_PORT"])).superuser
    redis = f"redis://:{values.redis.reveal()}@127.0.0.1:{stack.environ['COHORTLENS_REDIS_PORT']}/0"
    tables = asyncio.run(in_tables(str(postgres), marks))
    keys = asyncio.run(in_redis(redis, marks))
    files = in_files(stack.data_dir, marks)
    return {mark: (tables[mark], keys[mark], files[mark]) for mark in marks}


@pytest.fixture(scope="module")
def shop(stack, demo):
    return lives.Shop(stack, demo)


@pytest.fixture(scope="module")
def person(shop):
    """A person who has lived in every store."""
    made = lives.Person()
    lives.switch_tokens_on(shop)
    lives.consent(shop, made)
    shop.imported(made, f"of {made.external_id}.csv")
    lives.use_in_analytics(shop, made)
    lives.ask_about(shop, made)
    lives.fulfilled(shop, made.events["data_sharing"])
    return made


def test_an_erasure_leaves_nothing_of_a_person_in_tables_redis_and_files(stack, shop, person):
    before = search(stack, person.word, person.customer_id)
    tables, _, files = before[person.word]
    assert {"customers", "transactions", "import_faults", "predictions"} <= tables, "the search finds nothing"
    assert {name.split("/")[0] for name in files} >= {"artifacts"}
    assert {"customers", "customer_features", "consent_identities"} <= before[person.customer_id][0]

    shown = shop.data_request(person, "ERASURE")

    nowhere = (set(), set(), set())
    after = search(stack, person.word, person.customer_id, person.identity_id)
    assert after[person.word] == nowhere
    assert after[person.customer_id] == nowhere
    tables, keys, files = after[person.identity_id]
    assert tables <= OF_THE_IDENTITY
    assert (keys, files) == (set(), set())
    steps = {step["name"]: (int(step["rowsFound"]), int(step["rowsErased"])) for step in shown["steps"]}
    for store in ("answers", "analytics", "batches", "imports", "fulfilment", "customers", "consent"):
        found, erased = steps[store]
        assert found == erased > 0, (store, steps)


def test_what_was_issued_is_revoked_and_unpinned(shop, person):
    found = shop.get(f"consentEvents/{person.events['data_sharing']}/fulfilment")
    assert found["credential"]["state"] == "REVOKED"


def test_the_person_stays_away_and_can_still_take_back(stack, shop, person):
    again = shop.imported(person, "again.csv")
    assert (again.rows.accepted, dict(again.rejected_by_reason)) == (0, {"CUSTOMER_ERASED": 3})
    grant = {"customer": person.customer, "notice": person.notice, "purposes": [{"purpose": "profiling"}]}
    refused = shop.ask("POST", "consents", grant)
    assert "CUSTOMER_ERASED" in refused.text, refused.text
    taken_back = shop.post("consents:withdraw", {"customer": person.customer})
    assert {one["state"] for one in taken_back["consents"]} == {"CONSENT_STATE_WITHDRAWN"}
    assert search(stack, person.word)[person.word] == (set(), set(), set())


def test_the_audit_chain_still_verifies(shop):
    assert shop.post("auditEvents:verify")["ok"] is True
