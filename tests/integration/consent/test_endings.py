"""The job that writes down which consents are over, by time or by a new version of their purpose."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from cohortlens.consent.endings import ConsentEndings
from cohortlens.consent.models import ActType
from cohortlens.core.db import Database
from tests.integration.consent.crew import crew_of

_EVENTS = (
    "SELECT type, method, actor, prev_event_id, id FROM consent_events WHERE identity_id = $1 ORDER BY place"
)


@pytest.fixture
async def crew(runtime, tenants):
    return await crew_of(runtime, tenants[0])


@pytest.fixture
async def endings(postgres_urls, database):
    db = Database(postgres_urls.jobs, 2)
    yield ConsentEndings(db)
    await db.close()


async def test_a_consent_that_is_over_by_time_is_written_down_once_and_told(
    crew, endings, runtime, superuser
):
    kept = await crew.act(ActType.GIVEN, "external:kept")
    over = await crew.act(ActType.GIVEN, "external:over")
    await superuser.execute(
        "UPDATE user_consents SET expires_at = now() - interval '1 minute' WHERE identity_id = $1",
        over.identity.id,
    )
    assert await endings.run() == 1
    assert await endings.run() == 0
    given, ended = await superuser.fetch(_EVENTS, over.identity.id)
    assert (ended["type"], ended["method"], ended["actor"]) == ("EXPIRED", "SYSTEM", "job:consents_ended")
    assert ended["prev_event_id"] == given["id"]
    told = await superuser.fetchval(
        "SELECT count(*) FROM outbox WHERE topic = 'consent.event.recorded' AND payload->>'event_id' = $1",
        str(ended["id"]),
    )
    assert told == 1
    logged = await superuser.fetchrow("SELECT * FROM audit_log WHERE action = 'consent.decision.ended'")
    state = await superuser.fetchrow(
        "SELECT state, version FROM user_consents WHERE identity_id = $1", over.identity.id
    )
    assert (state["state"], state["version"]) == ("EXPIRED", logged["seq"])
    assert await crew.state(kept.identity.id) == "GIVEN"


async def test_a_new_version_that_requires_reconsent_is_written_down_and_a_new_consent_holds(
    crew, endings, superuser
):
    done = await crew.act(ActType.GIVEN)
    crew.moment[0] += timedelta(seconds=1)
    await crew.purposes.update(crew.ctx, "profiling", {}, [], requires_reconsent=True)
    assert await endings.run() == 1
    assert [one["type"] for one in await superuser.fetch(_EVENTS, done.identity.id)] == [
        "GIVEN",
        "INVALIDATED",
    ]
    crew.moment[0] += timedelta(seconds=1)
    crew.notice = await crew.publish("We group customers by how they buy, in another way.")
    await crew.act(ActType.GIVEN)
    assert await crew.state(done.identity.id) == "GIVEN"
    assert await endings.run() == 0


async def test_the_runtime_role_cannot_ask_for_the_tenants_that_have_endings(runtime):
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with runtime.transaction() as tx:
            await tx.execute(text("SELECT app.consents_due(1)"))
