"""The long faults of fulfilment, for ``make soak-fulfilment``: many consents under kills, without a chain, at a pace.

Not part of the tests that run on each change. Each story ends with a count of everything that may exist once for a
consent, and adds a row to the table that is printed at the end. ``SOAK_GRANTS``, ``SOAK_KILLS`` and ``SOAK_SECONDS``
make a shorter run of it.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import time

import pytest

from cohortlens.adapters.web3_rewards import GrpcRewardLedger
from tests.fixtures.waiting import eventually
from tests.integration.consent.test_fulfilment_faults import (
    PAID,
    _children,
    _name_of,
    channel,
    consenting,
    processes,
    world,
)

__all__ = ["channel", "processes", "world"]

GRANTS = int(os.environ.get("SOAK_GRANTS", "20"))
KILLS = int(os.environ.get("SOAK_KILLS", "50"))
SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
PACE = 20.0
WAIT_S = 1800.0
_COUNTS = """
SELECT count(DISTINCT f.event_id) AS consents,
       (SELECT count(*) FROM verifiable_credentials c JOIN consent_fulfilments g USING (tenant_id, event_id)
         WHERE g.purpose_key = 'data_sharing') AS credentials,
       (SELECT count(*) FROM rewards WHERE state = 'FINAL') AS rewards,
       (SELECT count(*) FROM receipt_pins p JOIN consent_fulfilments g USING (tenant_id, event_id)
         WHERE g.purpose_key = 'data_sharing' AND p.cid IS NOT NULL AND p.superseded_by IS NULL) AS receipts,
       (SELECT coalesce(sum(amount_micro), 0) FROM rewards WHERE state = 'FINAL') AS owed
  FROM consent_fulfilments f WHERE f.purpose_key = 'data_sharing'
"""
_DONE = """
SELECT count(*) FROM consent_fulfilments WHERE purpose_key = 'data_sharing'
   AND credential_state = 'ISSUED' AND reward_state = 'FINAL' AND pin_state = 'PINNED'
"""
_HEAD = "{:<26} {:>8} {:>11} {:>7} {:>8} {:>12} {:>12} {:>9} {:>7}"
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


async def test_random_kills(world, processes, superuser, channel):
    """Jobs, sidecar or chain killed at random while people consent."""
    running = {
        "sidecars.web3": await processes.sidecar(),
        "cohortlens.jobs": processes.start("cohortlens.jobs"),
    }
    granting = asyncio.create_task(_granted(world, GRANTS, 1.0))
    chance = random.Random(8)
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(0.2, 3.0))
        victim = chance.choice((*running, "anvil"))
        if victim == "anvil":
            for pid in _children(running["sidecars.web3"].pid):
                if _name_of(pid) == "anvil":
                    os.kill(pid, signal.SIGKILL)
            continue
        running[victim].kill()
        running[victim].wait()
        running[victim] = processes.start(victim)
    await granting
    await processes.ready(running["sidecars.web3"])
    await _all_once(f"{KILLS} random kills", GRANTS, superuser, channel)


async def test_chain_away(world, processes, superuser, channel):
    """The chain takes calls and answers none."""
    child = await processes.sidecar()
    processes.start("cohortlens.jobs")
    [anvil] = [pid for pid in _children(child.pid) if _name_of(pid) == "anvil"]
    os.kill(anvil, signal.SIGSTOP)
    try:
        await _granted(world, GRANTS, GRANTS / SECONDS)
        await asyncio.sleep(1.0)
    finally:
        os.kill(anvil, signal.SIGCONT)
    await _all_once(f"chain away for {SECONDS:.0f} s", GRANTS, superuser, channel)


async def test_pace(world, processes, superuser, channel):
    """Many consents a second."""
    await processes.sidecar()
    processes.start("cohortlens.jobs")
    count = int(PACE * SECONDS)
    await _granted(world, count, PACE)
    await _all_once(f"{PACE:.0f} grants/s for {SECONDS:.0f} s", count, superuser, channel)


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
    ledger = int(found["owed"])
    shown = (found["consents"], found["credentials"], found["rewards"], found["receipts"])
    cpu = f"{used.ru_utime + used.ru_stime:.0f}"
    _ROWS.append(_HEAD.format(name, *shown, evm.total_supply_micro, ledger, f"{seconds:.1f} s", cpu))
    assert shown == (count,) * 4
    assert evm.total_supply_micro == ledger == count * PAID
