"""Decisions on a real database: what counts, who waits for whom, what stands in log, outbox and receipt."""

from __future__ import annotations

import asyncio
import itertools
import json
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import text

from cohortlens.consent.acts import Act, Evidence
from cohortlens.consent.models import (
    ActType,
    ConsentRequired,
    ConsentRowMissing,
    CustomerErased,
    NoticeOutdated,
)
from cohortlens.consent.signals import Signals
from cohortlens.core.errors import InvalidArgument
from tests.integration.consent.crew import crew_of, earlier

G, R, W = ActType.GIVEN, ActType.REFUSED, ActType.WITHDRAWN


@pytest.fixture
async def crew(runtime, tenants):
    return await crew_of(runtime, tenants[0])


async def test_a_consent_is_given_refused_given_again_and_withdrawn(crew):
    done = await crew.act(G)
    person = done.identity.id
    assert await crew.state(person) == "GIVEN"
    crew.moment[0] += timedelta(seconds=1)
    await crew.act(R)
    assert await crew.state(person) == "REFUSED"
    crew.moment[0] += timedelta(seconds=1)
    await crew.act(G)
    crew.moment[0] += timedelta(seconds=1)
    await crew.act(W)
    assert await crew.state(person) == "WITHDRAWN"
    events = await crew.history.events(crew.ctx, None, "", None, 50)
    assert [one.row.type for one in events] == ["WITHDRAWN", "GIVEN", "REFUSED", "GIVEN"]
    assert {one.external_id for one in events} == {"ann"}
    assert events[0].row.prev_event_id == events[1].row.id


async def test_all_orders_of_arrival_of_five_decisions_end_in_one_state_in_the_database(crew):
    script = [(G, 50), (W, 40), (G, 30), (R, 20), (W, 20)]
    names = []
    acts = []
    for number, order in enumerate(itertools.permutations(script)):
        name = f"external:c{number}"
        names.append(name)
        for kind, minutes in order:
            notice = crew.notice if kind is G else None
            acts.append((kind, name, earlier(crew, minutes=minutes), notice))
    crew_notice_time = crew.moment[0]
    crew.moment[0] = crew_notice_time + timedelta(hours=2)  # so that the notice was in force for all of them
    batch = [
        Act(name, kind, [("profiling", 0)], notice, collected_at=at + timedelta(hours=2))
        for kind, name, at, notice in acts
    ]
    states = set()
    for start in range(0, len(batch), 500):
        done = await crew.acts.record_batch(crew.ctx, batch[start : start + 500])
        for one in done[4::5]:
            states.add(await crew.state(one.identity.id))
    assert states == {"WITHDRAWN"}
    assert len(names) == 120


async def test_64_decisions_at_once_end_as_one_serial_order_of_them(crew, superuser):
    at = crew.moment[0]
    kinds = [(G, W)[number % 2] for number in range(64)]
    done = await asyncio.gather(*(crew.act(kind, collected_at=at) for kind in kinds))
    person = done[0].identity.id
    assert {one.identity.id for one in done} == {person}
    # Of one moment a withdrawal wins, in whatever order they came.
    assert await crew.state(person) == "WITHDRAWN"
    row = await superuser.fetchrow("SELECT * FROM user_consents WHERE identity_id = $1", person)
    events = await superuser.fetch(
        "SELECT * FROM consent_events WHERE identity_id = $1 ORDER BY place", person
    )
    assert len(events) == 64
    assert row["event_id"] == max(events, key=lambda one: (one["type"] == "WITHDRAWN", one["place"]))["id"]
    # Each was recorded against what had decided before it: the chain of previous events follows the places.
    best = None
    for one in events:
        assert one["prev_event_id"] == (best["id"] if best else None)
        if best is None or (one["type"] == "WITHDRAWN", one["place"]) > (
            best["type"] == "WITHDRAWN",
            best["place"],
        ):
            best = one
    versions = await superuser.fetchval(
        "SELECT max(seq) FROM audit_log WHERE tenant_id = $1", crew.tenant.tenant_id
    )
    assert 0 < row["version"] <= versions


async def test_versions_rise_in_the_order_of_commits_over_many_people(crew, superuser):
    await asyncio.gather(*(crew.act(G, f"external:p{number}") for number in range(24)))
    rows = await superuser.fetch("SELECT version FROM user_consents")
    logged = await superuser.fetch(
        "SELECT seq FROM audit_log WHERE action = 'consent.decision.given' ORDER BY seq"
    )
    assert sorted(one["version"] for one in rows) == [one["seq"] for one in logged]


async def test_what_is_told_names_events_and_no_person(crew, superuser):
    await crew.act(
        G, evidence=Evidence("192.0.2.77", "Browser/1", "https://shop.example/x?mail=ann@example.com")
    )
    (event,) = await superuser.fetch("SELECT * FROM consent_events")
    (told,) = await superuser.fetch("SELECT * FROM outbox WHERE topic = 'consent.event.recorded'")
    assert json.loads(told["payload"]) == {
        "event_id": str(event["id"]),
        "identity_id": str(event["identity_id"]),
        "purpose": "profiling",
        "type": "GIVEN",
    }
    (identity,) = await superuser.fetch("SELECT * FROM consent_identities")
    (logged,) = await superuser.fetch("SELECT * FROM audit_log WHERE action = 'consent.decision.given'")
    for stored in (event, identity, logged):
        assert all(b"ann" not in value for value in stored.values() if isinstance(value, bytes))
        assert "ann" not in str([value for value in stored.values() if not isinstance(value, bytes)])
    (read,) = await crew.history.events(crew.ctx, None, "", None, 1)
    assert read.evidence == {
        "address": "192.0.2.0/24",
        "user_agent": "Browser/1",
        "url": "https://shop.example/x",
    }


async def test_the_evidence_of_two_decisions_of_one_batch_can_both_be_read(crew):
    acts = [
        Act("external:ann", kind, [("profiling", 0)], notice, evidence=Evidence(user_agent=agent))
        for kind, notice, agent in ((G, crew.notice, "Browser/1"), (W, None, "Browser/2"))
    ]
    await crew.acts.record_batch(crew.ctx, acts)
    read = await crew.history.events(crew.ctx, None, "", None, 50)
    assert [one.evidence["user_agent"] for one in read] == ["Browser/2", "Browser/1"]


async def test_a_decision_that_does_not_count_answers_with_the_one_that_does(crew):
    counts = await crew.act(W)
    late = await crew.act(R, collected_at=earlier(crew, minutes=1))
    (shown,) = late.standing
    assert (shown.state, shown.event_id) == ("WITHDRAWN", counts.events[0].id)
    assert shown.receipt_id == counts.receipt_id


async def test_what_a_process_knows_of_terms_ends_with_the_next_version_of_a_purpose(crew):
    first = await crew.act(W)
    crew.moment[0] += timedelta(seconds=1)
    await crew.purposes.update(crew.ctx, "profiling", {}, [], requires_reconsent=True)
    second = await crew.act(W)
    assert [one.events[0].purpose_version for one in (first, second)] == [1, 2]


async def test_a_consent_takes_four_round_trips_once_the_terms_are_known(crew, monkeypatch):
    await crew.act(G)
    sent = []
    for name in ("execute", "fetch", "fetchrow", "fetchval", "prepare"):
        real = getattr(asyncpg.Connection, name)

        def counted(self, query, *values, _real=real, **options):
            sent.append(query.split()[0])
            return _real(self, query, *values, **options)

        monkeypatch.setattr(asyncpg.Connection, name, counted)
    crew.moment[0] += timedelta(seconds=1)
    await crew.act(G, "external:bea", evidence=Evidence(user_agent="Browser/1"))
    assert sent == ["BEGIN;", "WITH", "WITH", "SELECT"]


async def test_an_old_notice_is_refused_for_a_new_decision_and_good_for_one_made_under_it(crew):
    old = crew.notice
    made = crew.moment[0]
    crew.moment[0] += timedelta(hours=1)
    crew.notice = await crew.publish("Other words.")
    with pytest.raises(NoticeOutdated):
        await crew.act(G, notice_id=old)
    done = await crew.act(G, notice_id=old, collected_at=made + timedelta(minutes=30))
    assert await crew.state(done.identity.id) == "GIVEN"


async def test_a_new_version_that_requires_reconsent_ends_consents_at_once(crew):
    done = await crew.act(G)
    crew.moment[0] += timedelta(minutes=1)
    await crew.purposes.update(crew.ctx, "profiling", {}, [], requires_reconsent=True)
    assert await crew.state(done.identity.id) == "INVALIDATED"
    with pytest.raises(ConsentRequired) as fault:
        await crew.act(ActType.REAFFIRMED, notice_id=await crew.publish())
    assert fault.value.metadata == {"purpose": "profiling"}


async def test_a_withdrawal_of_what_was_never_given_is_recorded_and_covers_every_purpose(crew):
    done = await crew.act(W, "external:nobody", purposes=None)
    assert len(done.events) == 4
    assert {one.purpose_key for one in done.events} == {"data_sharing", "marketing", "profiling", "rewards"}
    assert await crew.state(done.identity.id, "rewards") == "WITHDRAWN"


async def test_an_erased_person_can_withdraw_and_nothing_else(crew, superuser):
    done = await crew.act(G)
    await superuser.execute(
        "UPDATE consent_identities SET erased_at = now(), ident_enc = NULL, data_key_enc = NULL, customer_id = NULL"
    )
    with pytest.raises(CustomerErased):
        await crew.act(G)
    crew.moment[0] += timedelta(seconds=1)
    again = await crew.act(W, evidence=Evidence("192.0.2.77"))
    assert again.identity.id == done.identity.id
    assert (
        await superuser.fetchval("SELECT evidence_enc FROM consent_events ORDER BY place DESC LIMIT 1")
        is None
    )


async def test_a_batch_with_one_fault_stores_nothing_and_names_the_record(crew, superuser):
    acts = [
        Act("external:a", W, [("profiling", 0)], path="records[0]."),
        Act("external:b", W, [("profil", 0)], path="records[1]."),
    ]
    with pytest.raises(ConsentRowMissing) as fault:
        await crew.acts.record_batch(crew.ctx, acts)
    assert fault.value.metadata["field"] == "records[1].purposes[0]"
    assert await superuser.fetchval("SELECT count(*) FROM consent_events") == 0


async def test_a_decision_far_ahead_is_refused(crew):
    with pytest.raises(InvalidArgument) as fault:
        await crew.act(W, collected_at=crew.moment[0] + timedelta(minutes=6))
    assert fault.value.violations[0].field == "collect_time"


async def test_a_signal_of_the_browser_wins_over_the_consent_beside_it(crew):
    act = Act("external:ann", G, [("data_sharing", 0), ("profiling", 0)], crew.notice)
    done = await crew.acts.record(crew.ctx, act, Signals(gpc=True))
    assert await crew.state(done.identity.id, "data_sharing") == "REFUSED"
    assert await crew.state(done.identity.id, "profiling") == "GIVEN"


async def test_the_history_answers_as_it_was_known_then(crew, runtime, superuser):
    customer = await _customer(runtime, crew)
    await crew.act(G, str(customer))
    then = await superuser.fetchval("SELECT clock_timestamp()")
    await asyncio.sleep(0.01)
    crew.moment[0] = then + timedelta(seconds=2)
    await crew.act(W, str(customer))
    known = {one.purpose_key: one.state for one in await crew.history.of_customer(crew.ctx, customer, then)}
    held = {one.purpose_key: one.state for one in await crew.history.of_customer(crew.ctx, customer)}
    assert (known["profiling"], held["profiling"]) == ("GIVEN", "WITHDRAWN")
    assert known["marketing"] == "NONE"


async def test_another_tenants_customer_and_notice_are_not_there(crew, runtime, tenants):
    other = await crew_of(runtime, tenants[1])
    customer = await _customer(runtime, other)
    with pytest.raises(ConsentRowMissing):
        await crew.act(W, str(customer))
    with pytest.raises(ConsentRowMissing):
        await crew.act(G, notice_id=other.notice)
    with pytest.raises(ConsentRowMissing):
        await crew.history.of_customer(crew.ctx, customer)


async def _customer(db, crew):
    async with db.tenant_transaction(crew.tenant.tenant_id) as tx:
        return await tx.scalar(
            text(
                "INSERT INTO customers (tenant_id, id, external_id, created_at)"
                " VALUES (app.tid(), app.uuid7(), 'ann', now()) RETURNING id"
            )
        )
