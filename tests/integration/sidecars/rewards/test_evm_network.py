"""Between the sidecar and its node: answers get lost, the node is away, fees jump."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from web3.types import RPCEndpoint

from sidecars.web3.rewards.chain import ChainUnavailable
from tests.integration.sidecars.rewards.owed import mints, owe, states, until


@pytest.fixture
async def proxy(anvil):
    """A TCP proxy before the anvil that can swallow answers to what is sent, or refuse all."""

    class Proxy:
        loses_answers = False
        is_down = False
        url = ""

        async def serve(self, reader, writer):
            with suppress(OSError, asyncio.IncompleteReadError):
                if not self.is_down:
                    there = await asyncio.open_connection("127.0.0.1", anvil.port)
                    await asyncio.gather(
                        self.pump(reader, there[1], True), self.pump(there[0], writer, False)
                    )
            writer.close()

        async def pump(self, source, target, is_request):
            is_lost = False
            while data := await source.read(65536):
                is_lost = self.loses_answers and b"eth_sendRawTransaction" in data
                self.swallow = is_lost if is_request else self.swallow
                if not is_request and self.swallow:
                    break  # the node has taken it; nobody hears of it
                target.write(data)
                await target.drain()
            target.close()

        swallow = False

    made = Proxy()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()


async def test_a_transaction_whose_answer_was_lost_is_found_and_not_sent_as_another(evm, journal, proxy):
    chain = await evm(url=proxy.url)
    rewards = mints(2)
    await owe(journal, rewards)
    proxy.loses_answers = True
    with pytest.raises(ChainUnavailable):
        await chain.submit(rewards)
    assert await states(journal) == {"SIGNED": 2}

    proxy.loses_answers = False
    await until(chain, journal, {"FINAL": 2})

    assert (await chain.health()).total_supply_micro == sum(row.amount_micro for row in rewards)
    async with journal.transaction(None) as tx:
        assert await tx.fetchval("SELECT count(*) FROM web3.chain_tx WHERE kind = 'MINT'") == 1


async def test_while_the_node_is_away_nothing_is_lost_and_health_says_so(evm, journal, proxy):
    chain = await evm(url=proxy.url)
    rewards = mints(1)
    await owe(journal, rewards)
    proxy.is_down = True
    await chain._desk.node.close()
    for _ in range(3):
        with pytest.raises(ChainUnavailable):
            await chain.submit(rewards)
    health = await chain.health()
    assert (health.status, await states(journal)) == ("down", {"OWED": 1})
    assert "CHAIN_UNAVAILABLE" in health.detail

    proxy.is_down = False
    after = await evm(url=proxy.url)
    await until(after, journal, {"FINAL": 1})


async def test_after_a_jump_of_the_base_fee_one_dearer_attempt_is_mined(evm, journal, anvil):
    chain = await evm(stuck_s=0.0)
    provider = anvil.node.w3.provider
    await provider.make_request(RPCEndpoint("evm_setAutomine"), [False])
    rewards = mints(1)
    await owe(journal, rewards)
    await chain.submit(rewards)
    async with journal.transaction(None) as tx:
        offered = await tx.fetchval("SELECT max_fee FROM web3.chain_tx WHERE kind = 'MINT'")
    await provider.make_request(RPCEndpoint("anvil_setNextBlockBaseFeePerGas"), [hex(int(offered) * 10)])
    await chain.mine()
    assert await states(journal) == {"SENT": 1}
    await provider.make_request(RPCEndpoint("evm_setAutomine"), [True])
    await until(chain, journal, {"FINAL": 1})

    async with journal.transaction(None) as tx:
        rows = await tx.fetch("SELECT nonce, state FROM web3.chain_tx WHERE kind = 'MINT' ORDER BY attempt")
    assert len({row["nonce"] for row in rows}) == 1
    assert [row["state"] for row in rows].count("FINAL") == 1
    assert len(rows) > 1


async def test_what_was_scanned_stays_scanned_and_a_failed_turn_is_seen_in_the_health(
    evm, journal, monkeypatch
):
    from sidecars.web3.rewards import evm_watch
    from sidecars.web3.rewards.evm_desk import EvmDesk

    monkeypatch.setattr(evm_watch, "LOG_WINDOW", 3)
    monkeypatch.setattr(evm_watch, "_WINDOWS", 2)
    chain = await evm()
    desk: EvmDesk = chain._desk
    await chain.poll()
    begun = (await desk.reload()).scanned_height
    await chain.mine(20)
    logs, asked = desk.node.logs, []

    async def fails_at_the_second(*question):
        asked.append(question)
        if len(asked) == 2:
            raise ChainUnavailable("the node limits us")
        return await logs(*question)

    desk.node.logs = fails_at_the_second
    with pytest.raises(ChainUnavailable):
        await chain.poll()
    assert (await desk.reload()).scanned_height == begun + 3
    assert (await chain.health()).status == "degraded"

    await chain.poll()
    assert (await desk.reload()).scanned_height == begun + 9
    assert [one[3] - one[2] + 1 for one in asked] == [3, 3, 3, 3]
    assert (await chain.health()).status == "ok"
