"""The EVM chain is another one than it should be, or none of ours: nothing is signed there."""

from __future__ import annotations

import time

import pytest

from tests.fixtures.waiting import eventually
from tests.integration.sidecars.rewards.conftest import ANVIL
from tests.integration.sidecars.rewards.owed import mints, owe, states


async def test_a_remote_chain_with_another_first_block_signs_nothing(evm, journal, anvil, tmp_path):
    from sidecars.web3.devchain.evm import Anvil

    chain = await evm()
    rewards = mints(1)
    await owe(journal, rewards)
    other = Anvil(ANVIL, tmp_path / "other")
    first = (await anvil.node.head(0)).time_s
    await eventually(lambda: time.time() >= first + 1)  # first blocks of one second have one hash
    await other.start()
    try:
        remote = await evm(url=other.url, start=False, mode="remote", contract=chain._desk.instance.token)
        with pytest.raises(Exception, match="first block") as refused:
            await remote.submit(rewards)
    finally:
        await other.stop()

    assert refused.value.reason == "CHAIN_GENESIS_MISMATCH"
    assert await states(journal) == {"OWED": 1}


async def test_a_chain_with_another_number_signs_nothing(evm, journal, tmp_path):
    from sidecars.web3.devchain.evm import Anvil

    rewards = mints(1)
    await owe(journal, rewards)
    other = Anvil(ANVIL, tmp_path / "other", chain_id=137)
    await other.start()
    try:
        wrong = await evm(url=other.url, start=False)
        with pytest.raises(Exception, match="137") as refused:
            await wrong.submit(rewards)
        unconfirmed = await evm(url=other.url, start=False, chain_id=137)
        with pytest.raises(Exception, match="MAINNET") as also:
            await unconfirmed.submit(rewards)
        assert "CHAIN_MAINNET_NOT_CONFIRMED" in (await unconfirmed.health()).detail
    finally:
        await other.stop()

    assert refused.value.reason == "CHAIN_ID_MISMATCH"
    assert also.value.reason == "CHAIN_MAINNET_NOT_CONFIRMED"
    assert await states(journal) == {"OWED": 1}


async def test_a_contract_with_other_code_signs_nothing(evm, journal, keys):
    wrong = await evm(start=False, contract=keys.voucher.address)

    with pytest.raises(Exception, match="code") as refused:
        await wrong.start()

    assert refused.value.reason == "CONTRACT_MISMATCH"


async def test_py_evm_serves_where_there_is_no_anvil_and_says_so(journal, keys, tmp_path):
    from sidecars.web3.devchain.py_evm import MODE, PY_EVM_CHAIN_ID, py_evm
    from sidecars.web3.rewards.evm import EvmChain
    from sidecars.web3.rewards.evm_desk import EvmDesk, EvmSettings
    from sidecars.web3.rewards.evm_keys import EvmSigners

    rewards = mints(3)
    await owe(journal, rewards)
    for _start in range(2):  # the second has lost everything and is rebuilt from the journal
        settings = EvmSettings(PY_EVM_CHAIN_ID, MODE, confirmations=0, gather_s=0.0)
        signers = EvmSigners(keys.minter, keys.voucher)
        chain = EvmChain(EvmDesk(await py_evm(keys), journal, signers, settings), tmp_path / "epochs")
        await chain.start()
        for _ in range(4):
            await chain.poll()
        assert await states(journal) == {"FINAL": 3}
        assert (await chain.health()).total_supply_micro == sum(row.amount_micro for row in rewards)

    health = await chain.health()
    assert (health.mode, health.status) == ("embedded-py-evm", "degraded")
