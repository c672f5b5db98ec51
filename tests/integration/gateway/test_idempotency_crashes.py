"""kill -9 of a real gateway at every change of a key's state: at most one effect, and an answer for the repeat."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import httpx
import pytest

from cohortlens.identity.service import IdentityService
from load.bench.raised import RAISED
from tests.fixtures.gateways import running_gateways
from tests.fixtures.waiting import eventually

KEK = bytes(range(32))
ISSUER = "https://cohortlens.local"
PATH = "/api/v1/apiKeys"
BODY = {"displayName": "export", "scopes": ["customers.read"]}
POINTS = {
    "idempotency.taken": ("IN_PROGRESS", 0),
    "idempotency.committed": ("COMMITTED", 1),
    "idempotency.answered": ("COMMITTED", 1),
    "idempotency.stored": ("DONE", 1),
}
"""Where the process dies; what it leaves of the key, and how many API keys."""


@pytest.fixture
async def token(database, redis_client, tenants):
    identity = await IdentityService.open(
        database, redis_client, kek=KEK, issuer=ISSUER, access_token_ttl_s=600
    )
    pair = await identity.sessions.open(
        tenants[0].tenant_id, tenants[0].user_id, device_name="", address="", user_agent="", amr=("pwd",)
    )
    await identity.close()
    return pair.access_token


@pytest.fixture
async def gateways(tmp_path, postgres_urls, redis_url, token):
    """One that lives, and one for each point, where it dies."""
    async with AsyncExitStack() as stack:

        async def started(**settings):
            [one] = await stack.enter_async_context(
                running_gateways(
                    1,
                    database=postgres_urls.runtime,
                    redis=redis_url,
                    kek=KEK,
                    issuer=ISSUER,
                    data_dir=tmp_path,
                    **(RAISED | settings),
                )
            )
            return one

        living, *dying = await asyncio.gather(
            started(),
            *(started(COHORTLENS_ENV="test", COHORTLENS_FAILPOINT=point) for point in POINTS),
        )
        yield living, dict(zip(POINTS, dying, strict=True))


async def test_a_killed_gateway_leaves_at_most_one_effect_and_the_repeat_is_answered(
    gateways, token, postgres_urls
):
    living, dying = gateways
    # Side by side: each waits until the time of its killed attempt has run out.
    await asyncio.gather(
        *(_killed_and_repeated(living, dying[one], token, postgres_urls, one) for one in POINTS)
    )


async def _killed_and_repeated(living, dying, token, urls, point):
    state, effects = POINTS[point]
    key = {"idempotency-key": point, "authorization": f"Bearer {token}", "x-request-timeout": "1"}
    body = BODY | {"displayName": point}
    with pytest.raises(httpx.TransportError):
        await dying.http.post(PATH, json=body, headers=key)
    async with asyncio.timeout(20):
        assert await dying.process.wait() == -9
    assert await _left(urls, point) == (state, effects)

    if state != "DONE":
        early = await living.http.post(PATH, json=body, headers=key)
        assert (early.status_code, "IDEMPOTENCY_IN_PROGRESS" in early.text) == (409, True), early.text
    other = await living.http.post(PATH, json=BODY, headers=key)
    assert "IDEMPOTENCY_KEY_REUSED" in other.text
    repeated = await _answered(living, body, key)
    again = await living.http.post(PATH, json=body, headers=key)
    assert (repeated.status_code, again.text) == (200, repeated.text)
    assert ("idempotent-replayed" in repeated.headers) == (state != "IN_PROGRESS")
    # A secret is shown once: the answer that is read again has none.
    assert bool(repeated.json()["secret"]) == (state != "COMMITTED")
    assert await _left(urls, point) == ("DONE", 1)


async def _left(urls, point):
    """State of the key, and how many API keys there are."""
    connection = await asyncpg.connect(urls.superuser)
    try:
        state = await connection.fetchval("SELECT state FROM idempotency_keys WHERE key = $1", point)
        made = await connection.fetchval("SELECT count(*) FROM api_keys WHERE display_name = $1", point)
    finally:
        await connection.close()
    return state, made


async def _answered(living, body, key):
    """The answer once the time of the killed attempt, 1 s and 5 s more, has run out."""

    async def final():
        answer = await living.http.post(PATH, json=body, headers=key)
        return None if answer.status_code == 409 else answer

    return await eventually(final, 20, "the repeat is answered")
