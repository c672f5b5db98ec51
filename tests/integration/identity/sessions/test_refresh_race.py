"""Refreshes of one token from four processes at the same moment; ``make soak-refresh`` is the long form."""

from __future__ import annotations

import pytest

from load.bench.refresh_race import BOUND_S, play
from load.bench.refreshers import RefresherOptions, refreshers
from tests.integration.identity.conftest import ISSUER, KEK, another_session

PROCESSES, AT_ONCE, ROUNDS = 4, 50, 3
STATE = "SELECT refresh_counter, revoke_reason FROM sessions ORDER BY id DESC LIMIT 1"
WRITTEN = """
SELECT (SELECT count(*) FROM outbox WHERE topic = 'session.revoked'),
       (SELECT count(*) FROM mails WHERE template = 'refresh_reused'),
       (SELECT count(*) FROM audit_log WHERE position('auth.refresh.reuse' IN convert_from(canonical, 'UTF8')) > 0)
"""


@pytest.fixture
async def processes(postgres_urls, redis_url, identity):
    options = RefresherOptions(postgres_urls.runtime, redis_url, KEK.hex(), ISSUER, AT_ONCE)
    async with refreshers(PROCESSES, options) as started:
        yield started


async def test_two_hundred_refreshes_are_one_rotation_and_a_reuse_ends_the_session_on_every_process(
    processes, identity, session, superuser
):
    user_id = (await identity.verifier.verify(session.access_token)).user_id

    async def ended_at(session_id):
        query = "SELECT extract(epoch FROM revoked_at)::float8 FROM sessions WHERE id = $1"
        return await superuser.fetchval(query, session_id)

    for number in range(1, ROUNDS + 1):
        played = await play(await another_session(identity, session.tenant_id, user_id), processes, ended_at)
        assert (played.answers, played.rotations, played.children) == (PROCESSES * AT_ONCE, 1, 1)
        assert played.reuse == {"REFRESH_REUSED", "TOKEN_REVOKED"}
        assert [at for at in played.dead_after_s if at is None or at > BOUND_S] == []
        assert tuple(await superuser.fetchrow(STATE)) == (3, "REUSE")
        # Fifty reuses at once are told of once.
        assert tuple(await superuser.fetchrow(WRITTEN)) == (number, number, number)
