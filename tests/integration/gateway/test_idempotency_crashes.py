"""kill -9 of a real gateway at every change of a key's state: one effect, one charge, an answer for the repeat."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import asyncpg
import httpx
import pytest

from cohortlens.identity.service import IdentityService
from cohortlens.registry.service import RegistryService
from tests.fakes.models import install, open_shop, prediction_manifest, segmentation_manifest
from tests.fixtures.forks import forking
from tests.fixtures.gateways import environment, started
from tests.fixtures.tenants import register
from tests.fixtures.usage import set_limit

KEK = bytes(range(32))
ISSUER = "https://cohortlens.local"
BLOCK = 1
"""Units that a process keeps ready under a limit of 500."""
HOLD_S = 3
POINTS = {
    "idempotency.taken": ("IN_PROGRESS", 0),
    "idempotency.committed": ("COMMITTED", 1),
    "idempotency.answered": ("COMMITTED", 1),
    "idempotency.stored": ("DONE", 1),
}
"""Where the process dies; what it leaves of the key, and how many effects."""


@dataclass(frozen=True)
class Keyed:
    """A call that takes a key.

    Attributes:
        path: Where it is sent.
        body: What is sent.
        table: Gets the rows of its effect.
        rows: How many.
        units: What it costs.
        other: What makes another request of it.
        hides: Whether an answer that is read again has no secret.
    """

    path: str
    body: dict[str, Any]
    table: str
    rows: int = 1
    units: int = 1
    other: dict[str, Any] = field(default_factory=dict)
    hides: bool = False


CALLS = {
    "CreateApiKey": Keyed(
        "/api/v1/apiKeys",
        {"displayName": "export", "scopes": ["customers.read"]},
        "api_keys",
        units=0,
        other={"displayName": "another"},
        hides=True,
    ),
    "Predict": Keyed(
        "/api/v1/predict",
        {"task": "PREDICTION_TASK_SPEND", "customers": [f"external:c{n % 40}" for n in range(120)]},
        "predictions",
        rows=120,
        units=2,
        other={"customers": ["external:c1"]},
    ),
    "PredictBatch": Keyed(
        "/api/v1/batchPredictions",
        {"task": "PREDICTION_TASK_SPEND", "horizonDays": 90, "allCustomers": True},
        "batch_predictions",
        other={"horizonDays": 30},
    ),
    "StartSegmentation": Keyed("/api/v1/segmentationRuns", {}, "segmentation_runs"),
}
AT_ONCE = "at.once"
"""Names the tenant whose calls come fifty times at once, while nobody dies."""
CASES = [(point, name) for point in POINTS for name in CALLS]


class World:
    """A tenant for each point, with a shop, models and few units."""

    def __init__(self, database, superuser, redis_client, folder):
        self._db, self._superuser, self._redis, self._folder = database, superuser, redis_client, folder
        self.at: dict[str, Any] = {}

    async def fill(self):
        identity = await IdentityService.open(
            self._db, self._redis, kek=KEK, issuer=ISSUER, access_token_ttl_s=600
        )
        registry = RegistryService(self._db)
        for point in (*POINTS, AT_ONCE):
            tenant = await register(self._db, point.replace(".", "-"))
            await set_limit(self._superuser, tenant.tenant_id, 500)
            await open_shop(self._db, tenant, self._folder / "shops")
            for manifest in (prediction_manifest(), segmentation_manifest()):
                await install(registry, self._db, tenant.tenant_id, manifest)
            pair = await identity.sessions.open(
                tenant.tenant_id, tenant.user_id, device_name="", address="", user_agent="", amr=("pwd",)
            )
            self.at[point] = SimpleNamespace(id=tenant.tenant_id, token=pair.access_token)
        await identity.close()


@pytest.fixture
async def world(database, superuser, redis_client, tmp_path):
    made = World(database, superuser, redis_client, tmp_path)
    await made.fill()
    return made


class Gateways:
    """One that lives, and a new one for each case, where it dies; a few of them at a time."""

    def __init__(self, stack, forks, environ):
        self._stack, self._forks, self._environ = stack, forks, environ
        self._few = asyncio.Semaphore(4)
        self.pids = {}

    async def start(self, **settings):
        return await started(self._stack, self._environ | settings, self._forks.begin)

    async def die(self, case, send):
        """Let a gateway die under a call."""
        async with self._few:
            dying = await self.start(COHORTLENS_FAILPOINT=case[0])
            self.pids[case] = dying.process.pid
            with pytest.raises(httpx.TransportError):
                await send(dying)
            async with asyncio.timeout(20):
                assert await dying.process.wait() == -9


@pytest.fixture
async def gateways(tmp_path, postgres_urls, redis_url, world):
    # Gateways start side by side here; one whose event loop is late for it is not to refuse what is asked.
    settings = {"COHORTLENS_ENV": "test", "COHORTLENS_LOOP_LAG_MAX": "1h"}
    environ = environment(postgres_urls.runtime, redis_url, KEK, ISSUER, tmp_path, **settings)
    async with forking() as forks, AsyncExitStack() as stack:
        made = Gateways(stack, forks, environ)
        made.living = await made.start()
        yield made


@pytest.fixture
async def pool(postgres_urls):
    async with asyncpg.create_pool(postgres_urls.superuser, min_size=1, max_size=4) as made:
        yield made


async def test_a_killed_gateway_leaves_one_effect_one_charge_and_an_answer_for_the_repeat(
    gateways, world, pool
):
    for name in CALLS:
        await _sent_at_once(gateways, world, pool, name)
    # Side by side: each waits until the time of its killed attempt has run out.
    await asyncio.gather(*(_killed_and_repeated(gateways, world, pool, one) for one in CASES))
    living = gateways.living.process
    living.terminate()
    assert await living.wait() == 0
    for point in (*POINTS, AT_ONCE):
        await _is_charged_once(world.at[point].id, pool, point, living.pid, gateways.pids)


async def _killed_and_repeated(gateways, world, pool, case):
    call, (state, effects) = CALLS[case[1]], POINTS[case[0]]
    headers = {
        "idempotency-key": f"{case[1]} of today",
        "authorization": f"Bearer {world.at[case[0]].token}",
        "x-request-timeout": str(HOLD_S),
    }

    async def send(to=gateways.living, **changes):
        return await to.http.post(call.path, json=call.body | changes, headers=headers)

    await gateways.die(case, send)
    assert await _left(pool, world, case) == (state, effects * call.rows), case
    early = await send()
    if state != "DONE" and await _is_held(pool, world, case):
        assert (early.status_code, "IDEMPOTENCY_IN_PROGRESS" in early.text) == (409, True), early.text
    if call.other:
        assert "IDEMPOTENCY_KEY_REUSED" in (await send(**call.other)).text
    del headers["x-request-timeout"]
    repeated, *later = [await _answered(send), *await asyncio.gather(*(send() for _ in range(5)))]
    assert repeated.status_code == 200, (case, repeated.text)
    assert {one.text for one in later} == {repeated.text}
    assert ("idempotent-replayed" in repeated.headers) == (state != "IN_PROGRESS")
    if call.hides:  # a secret is shown once: the answer that is read again has none
        assert bool(repeated.json()["secret"]) == (state != "COMMITTED")
    assert await _left(pool, world, case) == ("DONE", call.rows)


async def _sent_at_once(gateways, world, pool, name):
    call, http = CALLS[name], gateways.living.http
    headers = {"idempotency-key": name, "authorization": f"Bearer {world.at[AT_ONCE].token}"}

    async def send():
        return await http.post(call.path, json=call.body, headers=headers)

    answers = await asyncio.gather(*(_answered(send) for _ in range(50)))
    assert {one.status_code for one in answers} == {200}, name
    assert len({one.text for one in answers}) == 1
    assert await _left(pool, world, (AT_ONCE, name)) == ("DONE", call.rows)


async def _left(pool, world, case):
    """State of the key, and how many rows of the effect there are."""
    tenant = world.at[case[0]].id
    state = await pool.fetchval(
        "SELECT state FROM idempotency_keys WHERE tenant_id = $1 AND method LIKE '%/' || $2", tenant, case[1]
    )
    table = CALLS[case[1]].table
    return state, await pool.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant)


async def _is_held(pool, world, case):
    """Whether the time of the killed attempt has not run out, which a slow machine may take."""
    return await pool.fetchval(
        "SELECT locked_until > clock_timestamp() AND state <> 'DONE' FROM idempotency_keys"
        " WHERE tenant_id = $1 AND method LIKE '%/' || $2",
        world.at[case[0]].id,
        case[1],
    )


async def _answered(send):
    """The answer once the time of the killed attempt, and 5 s more, has run out."""
    async with asyncio.timeout(40):
        while True:
            answer = await send()
            if answer.status_code != 409:
                return answer
            await asyncio.sleep(0.2)


async def _is_charged_once(tenant, pool, point, living, dead):
    cost = {name: call.units for name, call in CALLS.items() if call.units}
    events = await pool.fetch(
        "SELECT method, units, calls, outcome FROM usage_events WHERE tenant_id = $1", tenant
    )
    noted = sorted((one["method"].rpartition("/")[2], *list(one)[1:]) for one in events)
    assert noted == sorted((name, units, 1, "OK") for name, units in cost.items()), point
    kept = {
        int(row["process_id"].split(".")[-2]): int(row["kept"])
        for row in await pool.fetch(
            "SELECT process_id, sum(granted - returned) AS kept FROM quota_leases WHERE tenant_id = $1"
            " GROUP BY 1",
            tenant,
        )
    }
    # What a killed process took is its lease, which is lost: the units of its call and what it kept ready.
    was_taken = point not in ("idempotency.taken", AT_ONCE)
    assert kept.pop(living, 0) == (0 if was_taken else sum(cost.values())), point
    lost = {name: kept.pop(dead.get((point, name)), 0) for name in cost}
    assert not kept, point
    for name, units in cost.items():
        assert lost[name] in (range(units, units + BLOCK + 1) if was_taken else (0,)), (point, name)
