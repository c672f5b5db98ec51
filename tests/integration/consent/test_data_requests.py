"""Requests of persons over real stores: what is found, what is erased, what stays away afterwards."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from cohortlens.consent.data_requests.models import (
    CustomerNotVerified,
    DataRequestMissing,
    DataRequestStateInvalid,
    LegalHold,
)
from cohortlens.consent.models import CustomerErased
from cohortlens.core import outbox
from cohortlens.core.errors import InvalidArgument, NotFound
from cohortlens.core.idempotency import KeyScope
from cohortlens.core.idempotency_keys import Held, IdempotencyKeys
from cohortlens.core.outbox import Wanted
from cohortlens.core.personal_data import Subject
from tests.fixtures.people import MARK, file_traces, import_rows, marked_person, traces
from tests.integration.consent.asking import TYPE, archive_of, asked, done


async def test_access_gives_every_row_with_a_manifest_that_matches_it(
    rights, customers, database, tenant, tmp_path
):
    import hashlib

    await marked_person(database, customers, tenant, tmp_path)
    request = await done(rights, tenant)
    assert request.state == "COMPLETED"
    archive = await archive_of(rights, tenant, request.request_id)
    manifest = json.loads(archive.read("manifest.json"))
    for file in manifest["files"]:
        content = archive.read(file["path"])
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    rows = json.loads(archive.read("customers/transactions.json"))
    assert sorted(row["order_ref"] for row in rows) == [f"o-{MARK}", f"o-{MARK}-2"]
    assert json.loads(archive.read("customers/customers.json"))[0]["attributes"] == {"note": MARK}
    (predicted,) = json.loads(archive.read("analytics/predictions.json"))
    assert predicted["features_snapshot"]["horizon"] is not None
    assert json.loads(archive.read("batches/batch_results.json"))[0]["value"] == 2.0
    assert b"other" not in b"".join(archive.read(name) for name in archive.namelist())


async def test_portability_leaves_out_what_was_inferred(rights, customers, database, tenant, tmp_path):
    await marked_person(database, customers, tenant, tmp_path)
    request = await done(rights, tenant, TYPE.PORTABILITY)
    names = (await archive_of(rights, tenant, request.request_id)).namelist()
    assert "customers/transactions.csv" in names
    assert not [name for name in names if name.startswith(("analytics/", "batches/"))]


async def test_an_erasure_leaves_no_trace_in_tables_files_answers_and_redis(
    rights, customers, database, redis_client, keys, tenant, superuser, tmp_path
):
    customer = await marked_person(database, customers, tenant, tmp_path)
    await done(rights, tenant)  # an export whose file holds everything
    await rights.links.create(tenant.context(), f"external:{MARK}", "https://shop.example/privacy")
    answers = IdempotencyKeys(database, keys)
    scope = KeyScope(tenant.tenant_id, "user:1", "/cohortlens.v1.X/Y", "key-1")
    held = await answers.take(scope, b"request", 10.0)
    assert isinstance(held, Held)
    await answers.store(held.claim, b"answer about " + MARK.encode())
    await redis_client.set(f"cl:rate:{customer}", b"1")
    before = await traces(superuser, MARK, str(customer))
    assert {"customers", "transactions", "predictions", "import_faults", "order_histories"} <= set(before)

    request = await done(rights, tenant, TYPE.ERASURE)

    assert request.state == "COMPLETED"
    assert (request.customer_id, request.external_id, request.notes.verification) == (None, "", "")
    assert await traces(superuser, MARK, str(customer)) == {}
    assert file_traces(tmp_path, MARK, str(customer)) == []
    assert await redis_client.keys("cl:rate:*") == []
    assert await superuser.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    steps = {step.name: step for step in request.steps}
    assert {name: step.rows_erased for name, step in steps.items() if step.rows_found > 1} == {
        name: step.rows_found for name, step in steps.items() if step.rows_found > 1
    }
    assert (steps["analytics"].rows_found, steps["batches"].rows_found) == (2, 1)
    assert len(steps["customers"].sha256) == 64
    assert await superuser.fetchval("SELECT count(*) FROM customers") == 1


async def test_the_identity_stays_and_nothing_can_be_asked_or_linked_for_it_any_more(
    rights, customers, database, tenant, superuser, tmp_path
):
    await marked_person(database, customers, tenant, tmp_path)
    await done(rights, tenant, TYPE.ERASURE)
    row = await superuser.fetchrow("SELECT * FROM consent_identities")
    assert (row["ident_enc"], row["data_key_enc"], row["customer_id"]) == (None, None, None)
    assert row["erased_at"] is not None
    with pytest.raises(CustomerErased):
        await asked(rights, tenant)
    with pytest.raises(CustomerErased):
        await rights.links.create(tenant.context(), f"external:{MARK}", "https://shop.example")


async def test_a_new_import_refuses_the_rows_of_an_erased_person_and_shows_nothing_of_them(
    rights, customers, database, tenant, superuser, tmp_path
):
    await marked_person(database, customers, tenant, tmp_path)
    await done(rights, tenant, TYPE.ERASURE)
    again = await import_rows(
        customers,
        tenant,
        f"{MARK},not-a-date,10,o1,s1,NL",
        f"{MARK},2026-02-01,10,o1,s1,NL",
        "new,2026-02-01,1,,,",
    )
    assert (again.rows.accepted, again.rows.rejected, again.new_customers) == (1, 2, 1)
    assert again.rejected_by_reason == {"CUSTOMER_ERASED": 2}
    assert await traces(superuser, MARK) == {}


async def test_a_lifted_suppression_lets_the_person_come_back_as_a_new_one(
    rights, customers, database, tenant, superuser, tmp_path
):
    await marked_person(database, customers, tenant, tmp_path)
    await done(rights, tenant, TYPE.ERASURE)
    with pytest.raises(NotFound):
        await rights.suppressions.lift(tenant.context(), "somebody", "a reason long enough")
    await rights.suppressions.lift(tenant.context(), MARK, "became a customer again")
    again = await import_rows(customers, tenant, f"{MARK},2026-02-01,10,o1,s1,NL")
    assert again.new_customers == 1
    assert (await asked(rights, tenant)).external_id == MARK
    assert await superuser.fetchval("SELECT count(*) FROM consent_identities") == 2


async def test_an_import_that_read_its_file_before_an_erasure_begins_again(
    rights, customers, database, tenant, tmp_path
):
    from cohortlens.customers.erased import ErasedPeople

    seen = [ErasedPeople(), ErasedPeople(b"s", frozenset({b"h" * 32}))]

    async def erased(tx, tenant_id):
        return seen.pop(0) if len(seen) > 1 else seen[0]

    customers.work._erased = erased
    from cohortlens.core.errors import Aborted

    with pytest.raises(Aborted):
        await import_rows(customers, tenant, "a,2026-02-01,10,o1,s1,NL")
    done_now = await import_rows(customers, tenant, "a,2026-02-01,10,o1,s1,NL")
    assert done_now.state == "SUCCEEDED"


async def test_an_erasure_that_died_after_each_step_goes_on_and_counts_what_was_there(
    rights, customers, database, tenant, superuser, tmp_path, monkeypatch
):
    await marked_person(database, customers, tenant, tmp_path)
    request = await asked(rights, tenant, TYPE.ERASURE)
    await rights.requests.approve(tenant.context(), request.request_id)
    points: list[str] = []

    class Died(BaseException):
        pass

    def die_once(name: str) -> None:
        if name not in points:
            points.append(name)
            raise Died

    monkeypatch.setattr("cohortlens.consent.data_requests.work.failpoint", die_once)
    for _ in range(60):
        try:
            await rights.work.run(tenant.tenant_id, request.request_id)
            break
        except Died:
            continue
    found = await rights.requests.get(tenant.tenant_id, request.request_id)
    assert found.state == "COMPLETED"
    assert len(points) == 2 * len(list(rights.stores)) + 2
    steps = {step.name: (step.rows_found, step.rows_erased) for step in found.steps}
    assert steps["customers"] == (7, 7)
    assert steps["analytics"] == (2, 2)
    assert await traces(superuser, MARK) == {}


async def test_an_erasure_waits_for_an_import_that_is_under_way(
    rights, customers, database, tenant, tmp_path
):
    from cohortlens.core.personal_data import StoreBusy
    from cohortlens.customers.models import ImportOptions
    from tests.fixtures.people import pieces

    await marked_person(database, customers, tenant, tmp_path)
    data = f"customer,date,amount\n{MARK},2026-03-01,1\n".encode()
    started = await customers.start_import(tenant.context(), ImportOptions(), pieces(data))
    with pytest.raises(StoreBusy):
        await done(rights, tenant, TYPE.ERASURE)
    await customers.run_import(tenant.tenant_id, started.import_id)
    (waiting,) = await rights.requests.page(tenant.context(), None, 10)
    await rights.work.run(tenant.tenant_id, waiting.request_id)
    assert (await rights.requests.get(tenant.tenant_id, waiting.request_id)).state == "COMPLETED"
    assert file_traces(tmp_path, MARK) == []


async def test_a_legal_hold_stops_an_erasure_and_nothing_else(rights, customers, database, tenant, tmp_path):
    await marked_person(database, customers, tenant, tmp_path)
    ctx = tenant.context()
    await rights.holds.set(ctx, f"external:{MARK}", "claim of the tax office", is_held=True)
    assert (await done(rights, tenant)).state == "COMPLETED"
    erasure = await asked(rights, tenant, TYPE.ERASURE)
    with pytest.raises(LegalHold):
        await rights.requests.approve(ctx, erasure.request_id)
    await rights.holds.set(ctx, f"external:{MARK}", "claim was settled", is_held=False)
    await rights.requests.approve(ctx, erasure.request_id)


async def test_nobody_is_served_before_they_are_verified(rights, customers, database, tenant, tmp_path):
    await marked_person(database, customers, tenant, tmp_path)
    request = await asked(rights, tenant, verification="")
    assert request.state == "RECEIVED"
    with pytest.raises(CustomerNotVerified):
        await rights.requests.approve(tenant.context(), request.request_id)
    approved = await rights.requests.approve(tenant.context(), request.request_id, "passport at the desk")
    assert (approved.state, approved.notes.verification) == ("APPROVED", "passport at the desk")
    with pytest.raises(DataRequestStateInvalid):
        await rights.requests.reject(tenant.context(), request.request_id, "too late for that")


@pytest.mark.parametrize(
    ("received", "due", "extended"),
    [
        ((2026, 1, 31), (2026, 2, 28), (2026, 4, 30)),
        ((2024, 1, 31), (2024, 2, 29), (2024, 4, 30)),
        ((2025, 11, 15), (2025, 12, 15), (2026, 2, 15)),
    ],
)
async def test_the_time_to_answer_is_a_calendar_month_and_three_when_extended_once(
    rights, tenant, received, due, extended
):
    at = datetime(*received, 12, tzinfo=UTC)
    request = await asked(rights, tenant, received_at=at)
    assert request.due_at == datetime(*due, 12, tzinfo=UTC)
    longer = await rights.requests.extend(tenant.context(), request.request_id, "eleven years of data")
    assert longer.due_at == datetime(*extended, 12, tzinfo=UTC)
    with pytest.raises(DataRequestStateInvalid):
        await rights.requests.extend(tenant.context(), request.request_id, "and some more of it")


async def test_overdue_requests_are_counted_for_the_operator(rights, tenant, database):
    await asked(rights, tenant, received_at=datetime(2025, 1, 1, tzinfo=UTC))
    await asked(rights, tenant, customer="external:b")
    async with database.transaction() as tx:
        assert await tx.scalar(text("SELECT app.data_requests_overdue()")) == 1


async def test_restriction_and_objection_are_set_and_taken_back(rights, tenant, superuser):
    for type_, column in ((TYPE.RESTRICTION, "restricted_at"), (TYPE.OBJECTION, "objected_at")):
        await done(rights, tenant, type_)
        assert await superuser.fetchval(f"SELECT {column} FROM consent_identities") is not None
        await done(rights, tenant, type_, is_lifting=True)
        assert await superuser.fetchval(f"SELECT {column} FROM consent_identities") is None


async def test_a_rectification_changes_what_it_names_and_keeps_the_rest(
    rights, customers, database, tenant, superuser, tmp_path
):
    await marked_person(database, customers, tenant, tmp_path)
    await done(rights, tenant, TYPE.RECTIFICATION, corrections={"country": "BE", "attributes.city": "Gent"})
    row = await superuser.fetchrow("SELECT country, attributes FROM customers WHERE external_id = $1", MARK)
    assert (row["country"], json.loads(row["attributes"])) == ("BE", {"note": MARK, "city": "Gent"})
    await done(rights, tenant, TYPE.RECTIFICATION, corrections={"attributes.note": ""})
    row = await superuser.fetchrow("SELECT attributes FROM customers WHERE external_id = $1", MARK)
    assert json.loads(row["attributes"]) == {"city": "Gent"}


@pytest.mark.parametrize(
    "given",
    [
        {"type_": TYPE.RECTIFICATION},
        {"type_": TYPE.RECTIFICATION, "corrections": {"external_id": "x"}},
        {"type_": TYPE.ACCESS, "corrections": {"country": "BE"}},
        {"type_": TYPE.ERASURE, "is_lifting": True},
        {"type_": TYPE.ACCESS, "received_at": datetime.now(UTC) + timedelta(days=1)},
        {"type_": TYPE.ACCESS, "customer": "neither form"},
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_with_its_field(rights, tenant, given):
    with pytest.raises(InvalidArgument) as refused:
        await asked(rights, tenant, **given)
    assert refused.value.violations


async def test_another_tenants_request_is_not_there(rights, tenants):
    request = await asked(rights, tenants[0])
    other = tenants[1]
    with pytest.raises(DataRequestMissing):
        await rights.requests.get(other.tenant_id, request.request_id)
    with pytest.raises(DataRequestMissing):
        await rights.requests.approve(other.context(), request.request_id)
    assert await rights.requests.page(other.context(), None, 10) == []
    await rights.work.run(other.tenant_id, request.request_id)


async def test_an_approval_is_handed_to_jobs(rights, database, tenant):
    request = await asked(rights, tenant)
    await rights.requests.approve(tenant.context(), request.request_id)
    (told,) = await outbox.claim(database, "test", [Wanted("consent.data_request.approved", 5)])
    assert told.payload == {"data_request_id": str(request.request_id)}


async def test_every_table_with_a_person_belongs_to_exactly_one_store(rights, superuser):
    rows = await superuser.fetch(
        "SELECT DISTINCT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
        "AND a.attname IN ('customer_id', 'identity_id') AND a.atttypid = 'uuid'::regtype"
    )
    claimed = [table for store in rights.stores for table in store.tables]
    assert len(claimed) == len(set(claimed))
    assert {row[0] for row in rows} - set(claimed) == set()


async def test_a_person_of_whom_nothing_is_stored_counts_nothing_anywhere(rights, tenant):
    nobody = Subject(UUID(int=1), None, "nobody")
    for store in rights.stores:
        assert await store.count(tenant.tenant_id, nobody) == 0
        await store.erase(tenant.tenant_id, nobody)
