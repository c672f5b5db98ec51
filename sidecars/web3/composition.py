"""Opens the parts of the sidecar, joins them to its server, runs them, closes them in reverse."""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TextIO

import grpc

from cohortlens.core.errors import CohortLensError, FailedPrecondition
from cohortlens.core.private import make_private, write_private
from cohortlens.core.telemetry import get_logger
from cohortlens.internal.v1 import web3_credentials_pb2_grpc, web3_pinning_pb2_grpc, web3_rewards_pb2_grpc
from sidecars.web3.config import Web3Config
from sidecars.web3.credentials.area import open_credentials
from sidecars.web3.devchain.evm_opening import open_evm
from sidecars.web3.devchain.ipfs import IpfsFront
from sidecars.web3.devchain.solana_opening import open_solana
from sidecars.web3.journal.operations import forget_operations
from sidecars.web3.journal.pool import Journal
from sidecars.web3.pinning.area import open_pinning
from sidecars.web3.rewards.area import RewardsArea
from sidecars.web3.sealing import Kek
from sidecars.web3.servicers.credentials import CredentialServicer
from sidecars.web3.servicers.pinning import PinningServicer
from sidecars.web3.servicers.rewards import RewardServicer

ENDPOINTS = "endpoints.json"
_FORGET_EVERY_S = 3600.0
_log = get_logger(__name__)


class Parts:
    """The open parts; use as an asynchronous context.

    Args:
        config: Settings.
        journal: The journal, open.
        kek: The sidecar's keys.
    """

    def __init__(self, config: Web3Config, journal: Journal, kek: Kek) -> None:
        self._config = config
        self._journal = journal
        self._kek = kek
        self._stack = AsyncExitStack()
        self._work: dict[str, Coroutine[Any, Any, None]] = {}

    async def open(self, server: grpc.aio.Server) -> None:
        """Open every part and add its service to the server.

        Raises:
            FailedPrecondition: DATA_DIR_IN_USE: another sidecar has embedded parts in the folder; a key or a
                setting of a chain must not be used.
            SettingsInvalid: A setting of a part.
        """
        config, folder = self._config, self._config.folder
        make_private(folder)
        self._stack.callback(_taken(folder).close)
        endpoints: dict[str, str] = {}
        credentials = await open_credentials(config, self._journal, self._kek)
        self._stack.push_async_callback(credentials.close)
        pinning = await open_pinning(config, self._journal, self._kek)
        self._stack.push_async_callback(pinning.close)
        front = IpfsFront(pinning.local)
        endpoints["ipfs"] = await front.start()
        self._stack.push_async_callback(front.close)
        evm = await open_evm(config, self._journal, folder / "evm")
        self._stack.push_async_callback(evm.close)
        solana = await open_solana(config, self._journal, folder / "solana")
        self._stack.push_async_callback(solana.close)
        rewards = RewardsArea(self._journal, [evm.chain, solana.chain], config.daily_micro)
        web3_credentials_pb2_grpc.add_CredentialServiceServicer_to_server(
            CredentialServicer(credentials), server
        )
        web3_pinning_pb2_grpc.add_PinningServiceServicer_to_server(PinningServicer(pinning.pinner), server)
        web3_rewards_pb2_grpc.add_RewardServiceServicer_to_server(
            RewardServicer(
                rewards.ledger,
                config.reward_chain,
                {"credentials": credentials.health, "pins": pinning.health},
            ),
            server,
        )
        self._work |= {
            "credentials": credentials.run(),
            "pinning": pinning.run(),
            "rewards": rewards.run(),
            "journal": self._forget(),
        }
        endpoints |= {"evm": evm.url, "solana": solana.url, "grpc": f"grpc://{config.listen}"}
        _write(folder, endpoints)

    async def run(self, stop: asyncio.Event) -> None:
        """Do the parts' background work until ``stop`` is set.

        Raises:
            Exception: What ended a part that should not have ended.
        """
        tasks = [asyncio.create_task(work, name=name) for name, work in self._work.items()]
        self._work = {}
        waiter = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({waiter, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waiter}:
                task.result()
        finally:
            for task in (waiter, *tasks):
                task.cancel()
            await asyncio.gather(waiter, *tasks, return_exceptions=True)

    async def close(self) -> None:
        """Close every part, the last one first."""
        for work in self._work.values():
            work.close()
        await self._stack.aclose()

    async def _forget(self) -> None:
        while True:
            try:
                async with self._journal.transaction(None) as tx:
                    await forget_operations(tx)
            except CohortLensError as fault:
                _log.warning("operations_not_forgotten", reason=fault.reason)
            await asyncio.sleep(_FORGET_EVERY_S)


def _taken(folder: Path) -> TextIO:
    """Hold the folder: two sidecars would each see the other's embedded chain as a lost one."""
    file = (folder / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise FailedPrecondition(
            f"another sidecar works in {folder}; give this one a folder of its own: COHORTLENS_WEB3_DATA",
            reason="DATA_DIR_IN_USE",
        ) from None
    return file


def _write(folder: Path, endpoints: Mapping[str, str]) -> None:
    """Tell people of this machine where the embedded parts listen; none of it holds credentials."""
    told = {name: url for name, url in endpoints.items() if url}
    write_private(folder / ENDPOINTS, json.dumps(told, indent=2))
