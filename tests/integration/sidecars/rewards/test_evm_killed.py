"""The embedded EVM chain is killed and comes back without its last blocks, or without any data."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cohortlens.embedded.processes import identity_of
from tests.fixtures.waiting import eventually, eventually_blocking
from tests.integration.sidecars.rewards.conftest import ANVIL, HAS_ANVIL, NO_ANVIL
from tests.integration.sidecars.rewards.owed import mints, owe, until


@pytest.fixture
def anvil(mortal_anvil):
    """These tests kill it, so each has its own."""
    return mortal_anvil


async def test_rewards_survive_a_killed_anvil_that_lost_its_last_blocks(evm, journal, anvil, keys):
    from sidecars.web3.devchain.evm import fund

    chain = await evm()
    rewards = mints(2)
    await owe(journal, rewards)
    await chain.submit(rewards)
    await until(chain, journal, {"FINAL": 2})

    os.kill(anvil.pid, signal.SIGKILL)
    await eventually(lambda: not anvil.pid, 10)
    with pytest.raises(Exception, match="does not answer"):
        await chain.poll()
    assert await anvil.ensure()
    await fund(anvil.node, keys.minter.address)
    after = await evm()
    await until(after, journal, {"FINAL": 2})

    assert (await after.health()).total_supply_micro == sum(row.amount_micro for row in rewards)


async def test_an_embedded_chain_without_its_data_is_rebuilt_and_pays_again(evm, journal, anvil, keys):
    from sidecars.web3.devchain.evm import fund

    chain = await evm()
    rewards = mints(2)
    await owe(journal, rewards)
    await chain.submit(rewards)
    await until(chain, journal, {"FINAL": 2})
    os.kill(anvil.pid, signal.SIGKILL)
    await eventually(lambda: not anvil.pid, 10)
    (anvil._folder / "state.json").unlink(missing_ok=True)
    assert await anvil.ensure()
    await fund(anvil.node, keys.minter.address)

    after = await evm()
    await until(after, journal, {"FINAL": 2})

    assert (await after.health()).total_supply_micro == sum(row.amount_micro for row in rewards)


async def test_anvil_learns_no_secret_of_the_sidecar_and_no_page_in_a_browser_may_use_it(
    tmp_path, monkeypatch
):
    from sidecars.web3.devchain.evm import Anvil

    if not HAS_ANVIL:
        pytest.skip(NO_ANVIL)
    monkeypatch.setenv("COHORTLENS_WEB3_KEK", "a secret")
    monkeypatch.setenv("ANVIL_IP_ADDR", "0.0.0.0")
    child = Anvil(ANVIL, tmp_path / "evm")
    await (await child.start()).close()
    try:
        process = Path("/proc", str(child.pid))
        names = {one.partition("=")[0] for one in process.joinpath("environ").read_text().split("\0") if one}
        words = process.joinpath("cmdline").read_text().split("\0")
    finally:
        await child.stop()

    # The interpreter before it gives itself a locale where it was given none (PEP 538).
    assert names - {"LC_CTYPE"} == {"PATH", "HOME"}
    assert "--no-cors" in words


async def test_a_restarted_anvil_is_asked_for_funds_until_it_gives_them(monkeypatch):
    from sidecars.web3.devchain import evm_opening

    monkeypatch.setattr(evm_opening, "_WATCH_S", 0.01)
    died, asked = [True], []

    class Child:
        url = ""

        async def ensure(self):
            return bool(died) and died.pop()

        async def stop(self):
            return None

    class Chain:
        async def close(self):
            return None

    async def refund():
        asked.append(True)
        if len(asked) < 3:
            raise KeyError("what nobody had thought of")

    opened = evm_opening.OpenedEvm(Chain(), Child(), refund)
    await eventually(lambda: len(asked) == 3)
    assert not opened._watch.done()
    await asyncio.sleep(0.05)
    await opened.close()
    assert len(asked) == 3


def test_anvil_ends_with_the_process_that_started_it(tmp_path):
    program = (
        "import asyncio, sys, time; from pathlib import Path; from sidecars.web3.devchain.evm import Anvil\n"
        "anvil = Anvil(Path(sys.argv[1]), Path(sys.argv[2])); asyncio.run(anvil.start())\n"
        "print(anvil.pid, flush=True); time.sleep(60)"
    )
    if not HAS_ANVIL:
        pytest.skip(NO_ANVIL)
    command = [sys.executable, "-c", program, str(ANVIL), str(tmp_path / "evm")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}/comm").read_text().strip() == "anvil"
        parent.kill()
        parent.wait()
        eventually_blocking(lambda: identity_of(pid) is None)
