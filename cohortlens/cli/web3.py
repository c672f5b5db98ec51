"""``cohortlens web3 status | resync``: the operator's view of the web3 sidecar and its chains."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import TypeVar

import click

from cohortlens.adapters.web3_channel import Web3Channel
from cohortlens.adapters.web3_rewards import GrpcRewardLedger
from cohortlens.cli import local
from cohortlens.cli.output import Fault, Output, table
from cohortlens.cli.session import guarded
from cohortlens.core.telemetry import configure_logging
from cohortlens.embedded import secrets, stack

ResultT = TypeVar("ResultT")
_HEADER = ["chain", "mode", "status", "head", "final", "supply", "signer", "detail"]
_PARTS = ["part", "mode", "status", "waiting", "detail"]
_MICRO = 1_000_000


@click.group()
def web3() -> None:
    """Show the web3 sidecar's chains; let a signer that stopped sign again.

    Asks the sidecar of the stack of this machine, or the one of COHORTLENS_WEB3_ADDRESS.
    """


@web3.command()
@guarded("web3 status")
def status(out: Output) -> None:
    """Show each chain, and credentials and pins: how they are, and what waits.

    Of a chain: its newest and its final block, tokens in circulation, who signs.
    """
    chains = _with(lambda ledger: ledger.chains())
    data = {
        "reward_chain": chains.reward_chain,
        "chains": [asdict(one) for one in chains.chains],
        "parts": [asdict(one) for one in chains.parts],
    }
    rows = [
        [
            one.chain,
            one.mode,
            one.status,
            str(one.head_height),
            str(one.final_height),
            f"{one.total_supply_micro / _MICRO:,.6f}",
            one.signer,
            one.detail,
        ]
        for one in chains.chains
    ]
    parts = [[one.part, one.mode, one.status, _listed(one.waiting), one.detail] for one in chains.parts]
    shown = f"{table(rows, _HEADER)}\n\n{table(parts, _PARTS)}"
    out.result(data, f"{shown}\n\nrewards of wallets on both chains: {chains.reward_chain}")


@web3.command()
@click.argument("chain", type=click.Choice(["evm", "solana"]))
@guarded("web3 resync")
def resync(out: Output, chain: str) -> None:
    """Take a chain's word after a foreign transaction or a restored database; its signer signs again.

    Every open reward is looked up by its id: what the chain has settled is adopted, what can never be mined
    is owed again. Nothing is minted twice.
    """
    adopted, reopened = _with(lambda ledger: ledger.resync(chain))
    out.result(
        {"chain": chain, "adopted": adopted, "reopened": reopened},
        f"{chain}: {adopted} rewards were settled there already, {reopened} are owed again",
    )


def _listed(waiting: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(waiting.items())) or "nothing"


def _with(work: Callable[[GrpcRewardLedger], Awaitable[ResultT]]) -> ResultT:
    async def run() -> ResultT:
        channel = Web3Channel(*_target(), timeout_s=60.0)
        try:
            return await work(GrpcRewardLedger(channel))
        finally:
            await channel.close()

    configure_logging("error")
    return asyncio.run(run())


def _target() -> tuple[str, str]:
    """Address and token of the sidecar.

    Raises:
        Fault: WEB3_UNAVAILABLE: none runs here and none was given.
    """
    config = local.config()
    if config.web3_address:
        return config.web3_address, config.web3_token.reveal()
    port = stack.status(config).ports.get("web3")
    if not port or not secrets.exists(config.folder):
        raise Fault(
            "WEB3_UNAVAILABLE",
            "no web3 sidecar: nothing runs here and COHORTLENS_WEB3_ADDRESS is not set",
            "cohortlens up, or set COHORTLENS_WEB3_ADDRESS and COHORTLENS_WEB3_TOKEN",
            "UNAVAILABLE",
        )
    token = config.web3_token.reveal() or secrets.load_or_create(config.folder).web3_token.reveal()
    return f"127.0.0.1:{port}", token
