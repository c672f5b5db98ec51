"""The long faults of fulfilment, for ``make soak-fulfilment``: many consents under kills, without a chain, at a pace.

Not part of the tests that run on each change. Each story ends with a count of everything that may exist once for a
consent, and adds a row to the table that is printed at the end. ``SOAK_GRANTS``, ``SOAK_KILLS`` and ``SOAK_SECONDS``
make a shorter run of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import time
from uuid import UUID, uuid4

import httpx
import pytest
from eth_account import Account

from cohortlens.adapters.web3_rewards import GrpcRewardLedger
from cohortlens.embedded.ports import free_ports
from sidecars.web3.devchain.evm import fund, mine
from sidecars.web3.rewards.evm_node import http_node
from tests.fixtures.gateways import environment
from tests.fixtures.waiting import eventually
from tests.fixtures.web3_doors import NOTICE
from tests.integration.consent.chain_away import ChainProxy, deployed
from tests.integration.consent.test_fulfilment_faults import (
    KEK,
    PAID,
    TOKEN,
    _children,
    _name_of,
    channel,
    consenting,
    processes,
    world,
)
from tests.integration.gateway.conftest import PASSWORD, password_hash
from tests.integration.sidecars.rewards.conftest import mortal_anvil

__all__ = ["channel", "mortal_anvil", "password_hash", "processes", "world"]

GRANTS = int(os.environ.get("SOAK_GRANTS", "40"))
KILLS = int(os.environ.get("SOAK_KILLS", "50"))
SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
PACE = 20.0
WAIT_S = 900.0
_PARTS = ("sidecars.web3", "cohortlens.jobs", "gateway", "anvil")
_REORG_EVERY, _LATE = 10, 6
_COUNTS = """
SELECT count(*) AS consents, sum(credentials) AS credentials, sum(rewards) AS rewards, sum(receipts) AS receipts,
       count(*) FILTER (WHERE (credentials, rewards, receipts) <> (1, 1, 1)) AS wrong
  FROM (SELECT (SELECT count(*) FROM verifiable_credentials c WHERE c.event_id = f.event_id) AS credentials,
               (SELECT count(*) FROM rewards r WHERE r.source_id = f.event_id AND r.state = 'FINAL') AS rewards,
               (SELECT count(*) FROM receipt_pins p WHERE p.event_id = f.event_id AND p.cid IS NOT NULL
                   AND p.superseded_by IS NULL) AS receipts
          FROM consent_fulfilments f WHERE f.purpose_key = 'data_sharing') AS each
"""
_OWED = "SELECT coalesce(sum(amount_micro), 0) FROM rewards WHERE state = 'FINAL'"
_DONE = """
SELECT count(*) FROM consent_fulfilments WHERE purpose_key = 'data_sharing'
   AND credential_state = 'ISSUED' AND reward_state = 'FINAL' AND pin_state = 'PINNED'
"""
_HEAD = "{:<34} {:>8} {:>11} {:>7} {:>8} {:>12} {:>12} {:>9} {:>7}"
_ROWS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def table():
    """Prints what every story found."""
    yield
    names = (
        "fault",
        "consents",
        "credentials",
        "rewards",
        "receipts",
        "supply",
        "ledger",
        "settled",
        "CPU s",
    )
    print("\n" + "\n".join([_HEAD.format(*names), *_ROWS]))  # noqa: T201 - the table is the result


class Door:
    """The gateway's HTTP door, killed now and then: each grant is asked until it is answered, under one key."""

    def __init__(self, world, processes, superuser):
        self.world, self.processes, self.superuser = world, processes, superuser
        self.http = httpx.AsyncClient(timeout=20)
        self.notice, self.asked_again = "", 0
        self._one_at_a_time = asyncio.Lock()

    async def open(self, email):
        """Log in as the owner and publish the notice."""
        login = {"email": email, "password": PASSWORD}
        tokens = (await self._asked("sessions", login))["tokens"]
        self.http.headers["authorization"] = f"Bearer {tokens['accessToken']}"
        self.notice = (await self._asked("notices", NOTICE))["notice"]["notice"]

    async def grant(self):
        """A person allows rewards and sharing, and binds a wallet; every act is told twice."""
        asked = {
            "customer": f"external:{uuid4().hex[:12]}",
            "purposes": [{"purpose": "rewards"}, {"purpose": "data_sharing"}],
            "notice": self.notice,
            "method": "COLLECTION_METHOD_FORM",
        }
        given = (await self._asked("consents", asked))["consents"]
        for one in given:
            event = UUID(one["consentEvent"])
            await self.world.repeat(event)
        async with self._one_at_a_time:
            person = await self.superuser.fetchval(
                "SELECT identity_id FROM consent_events WHERE id = $1", UUID(given[0]["consentEvent"])
            )
        await self.world.bind(UUID(str(person)), address=Account.create().address)

    async def _asked(self, path, body):
        key, url = {"idempotency-key": str(uuid4())}, f"http://127.0.0.1:{self.processes.http}/api/v1/{path}"

        async def answer():
            with contextlib.suppress(httpx.TransportError):
                reply = await self.http.post(url, json=body, headers=key)
                if reply.status_code == 200:
                    return reply.json()
                # The key stays taken until the deadline of a call that died; a door that opens says 503.
                assert reply.status_code in {409, 503}, reply.text
            self.asked_again += 1
            await asyncio.sleep(0.3)
            return None

        return await eventually(answer, 240.0, f"an answer to {path}")


class Victims:
    """The processes of the first story, started again as they die."""

    def __init__(self, processes):
        self.processes = processes
        self.running = {}
        self.killed = dict.fromkeys(_PARTS, 0) | {"reorg": 0}

    async def start(self):
        self.running["sidecars.web3"] = await self.processes.sidecar()
        self.running["cohortlens.jobs"] = self.processes.start("cohortlens.jobs")
        self.running["gateway"] = self.processes.start("gateway")

    def kill(self, part):
        """Kill -9 one; a supervisor would start it again at once, and anvil's keeper does."""
        self.killed[part] += 1
        if part == "anvil":
            for pid in _anvils(self.running["sidecars.web3"].pid):
                os.kill(pid, signal.SIGKILL)
            return
        self.running[part].kill()
        self.running[part].wait()
        self.running[part] = self.processes.start(part)

    async def reorganise(self):
        """Take back the blocks of half a second; answers whether the chain was there to do it."""
        try:
            url = json.loads((self.processes.folder / "web3" / "endpoints.json").read_text())["evm"]
            async with httpx.AsyncClient(base_url=url, timeout=5) as chain:
                before = (await chain.post("", json=_rpc("evm_snapshot"))).json()["result"]
                await asyncio.sleep(0.5)
                reply = (await chain.post("", json=_rpc("evm_revert", before))).json()
                self.killed["reorg"] += bool(reply.get("result"))
                return bool(reply.get("result"))
        except (httpx.TransportError, OSError, KeyError, ValueError):
            return False


@pytest.fixture
async def door(world, processes, superuser, tenants, postgres_urls, redis_url, password_hash):
    """A gateway beside the others that is killed with them."""
    await superuser.execute("UPDATE users SET password_hash = $1", password_hash)
    processes.http = free_ports(2)
    own = environment(
        postgres_urls.runtime, redis_url, KEK, "https://cohortlens.local", processes.folder,
        COHORTLENS_WEB3_ADDRESS=f"127.0.0.1:{processes.port}", COHORTLENS_WEB3_TOKEN=TOKEN,
        COHORTLENS_HTTP_PORT=str(processes.http), COHORTLENS_GRPC_PORT=str(processes.http + 1), COHORTLENS_OPS_PORT="0",
    )  # fmt: skip
    processes.environs["gateway"] = own
    made = Door(world, processes, superuser)
    yield made
    await made.http.aclose()


async def test_random_kills(world, processes, superuser, channel, door, tenants):
    """Gateway, jobs, sidecar or chain killed at random while people consent; every act is told twice."""
    victims, chance = Victims(processes), random.Random(8)
    await victims.start()
    await door.open(tenants[0].email)
    granting = [asyncio.create_task(_at(number * 1.0, door.grant)) for number in range(GRANTS)]
    for number in range(KILLS):
        await asyncio.sleep(chance.uniform(0.2, 3.0))
        victims.kill(chance.choice(_PARTS))
        if number % _REORG_EVERY == _REORG_EVERY - 1:
            await victims.reorganise()
    await asyncio.gather(*granting)
    await processes.ready(victims.running["sidecars.web3"])
    # A chain that is killed goes back by itself; these go back while it lives and rewards are on their way.
    late = [asyncio.create_task(_at(number * 0.5, door.grant)) for number in range(_LATE)]
    for _ in range(3):
        await eventually(victims.reorganise, 60.0, "a reorganised chain")
    await asyncio.gather(*late)
    told = ", ".join(f"{part} {count}" for part, count in victims.killed.items())
    print(f"\nkilled: {told}; requests asked again {door.asked_again}")  # noqa: T201 - part of the result
    await _all_once(f"{KILLS} random kills, all told twice", GRANTS + _LATE, superuser, channel)


async def test_node_away(world, processes, superuser, channel, mortal_anvil):
    """The node's address refuses connections, then swallows them, a minute in all."""
    minter, voucher = Account.create(), Account.create()
    await fund(mortal_anvil.node, minter.address)
    contract = await deployed(mortal_anvil.node, minter, voucher.address)
    async with ChainProxy(mortal_anvil.port) as proxy:
        processes.environs["sidecars.web3"] |= {
            "COHORTLENS_WEB3_EVM_URL": proxy.url,
            "COHORTLENS_WEB3_EVM_CONTRACT": contract,
            "COHORTLENS_WEB3_EVM_MINTER_KEY": minter.key.hex(),
            "COHORTLENS_WEB3_EVM_VOUCHER_KEY": voucher.key.hex(),
        }
        await processes.sidecar()
        processes.start("cohortlens.jobs")
        blocks = asyncio.create_task(_mining(mortal_anvil.url))
        granting = asyncio.create_task(_granted(world, GRANTS, GRANTS / SECONDS))
        await asyncio.sleep(SECONDS / 10)
        await proxy.refuse()
        await asyncio.sleep(SECONDS / 2)
        await proxy.swallow()
        await asyncio.sleep(SECONDS / 2)
        await proxy.recover()
        await granting
        await _all_once(f"node away for {SECONDS:.0f} s (TCP)", GRANTS, superuser, channel)
        blocks.cancel()


async def test_chain_hangs(world, processes, superuser, channel):
    """The embedded chain takes calls and answers none."""
    child = await processes.sidecar()
    processes.start("cohortlens.jobs")
    [anvil] = _anvils(child.pid)
    os.kill(anvil, signal.SIGSTOP)
    try:
        await _granted(world, GRANTS, 3 * GRANTS / SECONDS)
    finally:
        os.kill(anvil, signal.SIGCONT)
    await _all_once(f"chain hangs for {SECONDS / 3:.0f} s", GRANTS, superuser, channel)


async def test_pace(world, processes, superuser, channel):
    """Many consents a second."""
    await processes.sidecar()
    processes.start("cohortlens.jobs")
    count = int(PACE * SECONDS)
    await _granted(world, count, PACE)
    await _all_once(f"{PACE:.0f} grants/s for {SECONDS:.0f} s", count, superuser, channel)


def _anvils(pid):
    return [one for one in _children(pid) if _name_of(one) == "anvil"]


def _rpc(method, *parameters):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}


async def _at(seconds, work):
    await asyncio.sleep(seconds)
    await work()


async def _mining(url):
    """A block a second, as on any network; an anvil by itself has none without transactions."""
    node = http_node(url, 0)
    try:
        while True:
            await mine(node)
            await asyncio.sleep(1.0)
    finally:
        await node.close()


async def _granted(world, count, per_s):
    began = time.monotonic()
    for number in range(count):
        await consenting(world)
        await asyncio.sleep(max(0.0, began + (number + 1) / per_s - time.monotonic()))


async def _all_once(name, count, superuser, channel):
    """Wait until as many are done, count what there is, and add a row."""
    began = time.monotonic()

    async def is_done():
        await asyncio.sleep(0.5)
        return await superuser.fetchval(_DONE) == count

    await eventually(is_done, WAIT_S, name)
    seconds = time.monotonic() - began
    found = await superuser.fetchrow(_COUNTS)
    evm = next(one for one in (await GrpcRewardLedger(channel).chains()).chains if one.chain == "evm")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    ledger = int(await superuser.fetchval(_OWED))
    shown = (found["consents"], found["credentials"], found["rewards"], found["receipts"])
    cpu = f"{used.ru_utime + used.ru_stime:.0f}"
    _ROWS.append(
        _HEAD.format(name, *map(int, shown), evm.total_supply_micro, ledger, f"{seconds:.1f} s", cpu)
    )
    assert (shown, found["wrong"]) == ((count,) * 4, 0)
    assert evm.total_supply_micro == ledger == count * PAID
