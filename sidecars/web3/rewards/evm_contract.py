"""The reward token on its chain: deployed where the chain is ours, checked everywhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from web3.utils import get_create_address

from sidecars.web3.rewards.chain import ChainRefused, ChainUnavailable
from sidecars.web3.rewards.evm_desk import EvmDesk
from sidecars.web3.rewards.evm_send import EvmSender
from sidecars.web3.rewards.evm_watch import EvmWatcher
from sidecars.web3.rewards.nonces import Call, allocate, current_fees, sign_next
from sidecars.web3.rewards.token import EPOCH_ROLE, MINTER_ROLE, VOUCHER_ROLE

if TYPE_CHECKING:
    from eth_typing import HexAddress
    from web3.types import Nonce

_DEPLOY_TRIES = 100
_TRY_S = 0.2


async def provide_contract(desk: EvmDesk, sender: EvmSender, watcher: EvmWatcher) -> None:
    """Find the token that the settings name, or deploy it on an embedded chain, and check it.

    Raises:
        ChainRefused: CONTRACT_MISMATCH: no code, other code, or our accounts lack their roles.
        ChainUnavailable: No answer, or the deployment is not mined yet.
    """
    if desk.settings.contract:
        if desk.instance.token != desk.settings.contract:
            async with desk.rows() as rows:
                await rows.set_token(desk.instance.genesis, to_checksum_address(desk.settings.contract), 0)
            await desk.reload()
    elif desk.settings.is_remote:
        raise _mismatch(
            "COHORTLENS_WEB3_EVM_CONTRACT names no contract; deploy the token and set its address"
        )
    else:
        await _deploy(desk, sender, watcher)
    await _check(desk)


async def _deploy(desk: EvmDesk, sender: EvmSender, watcher: EvmWatcher) -> None:
    if not desk.instance.token:
        await _sign_deployment(desk)
    for tries in range(_DEPLOY_TRIES):
        # Also after a restart on a chain that lost its last blocks: the same bytes give the same address.
        head = await desk.head()
        await watcher.unwind(head)
        if await desk.node.code(desk.instance.token):
            await watcher.receipts()
            return
        await sender.send()
        await watcher.receipts()
        # An embedded chain has mined it by now.
        await asyncio.sleep(_TRY_S if tries else 0)
    raise ChainUnavailable("the deployment of the reward token is not mined yet; it goes on")


async def _sign_deployment(desk: EvmDesk) -> None:
    minter, voucher = desk.minter, desk.signers.voucher.address
    data = desk.token.deployment(minter, minter, voucher, minter)
    head = await desk.head()
    gas, fees = await desk.node.gas(minter, None, data), await current_fees(desk, head)
    count = await desk.node.nonce(minter)
    async with desk.rows() as rows:
        nonce = await allocate(desk, rows, count)
        current = await rows.current()
        if current is not None and not current.token:
            await sign_next(desk, rows, nonce, Call("DEPLOY", None, data, gas), fees)
            await rows.set_token(
                desk.instance.genesis,
                str(get_create_address(cast("HexAddress", minter), cast("Nonce", nonce))),
                head.height,
            )
    await desk.reload()


async def _check(desk: EvmDesk) -> None:
    contract = desk.instance.token
    if not desk.token.is_deployed_code(await desk.node.code(contract)):
        raise _mismatch(f"the code at {contract} is not that of the reward token; correct the address")
    for role, account in (
        (MINTER_ROLE, desk.minter),
        (EPOCH_ROLE, desk.minter),
        (VOUCHER_ROLE, desk.signers.voucher.address),
    ):
        answer = await desk.node.call(contract, desk.token.call("hasRole", role, account))
        if not any(answer):
            raise _mismatch(
                f"{account} lacks a role of the reward token at {contract}; let the admin grant it"
            )


def own_addresses(desk: EvmDesk) -> frozenset[str]:
    """Addresses that must not hold rewards: nobody's, and the contract's own."""
    nobody = to_checksum_address(encode(["uint160"], [0])[-20:])
    return frozenset({nobody, desk.instance.token} if desk.is_known else {nobody})


def _mismatch(message: str) -> ChainRefused:
    return ChainRefused(message, reason="CONTRACT_MISMATCH")
