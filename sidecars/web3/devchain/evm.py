"""The embedded EVM chain: anvil as a child process, and the keys of embedded chains.

Anvil keeps its state in the data folder; its output shows keys and is dropped. ``py_evm.py`` is the fallback.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import secrets
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3.types import RPCEndpoint

from sidecars.web3.rewards.evm_node import EvmNode, http_node

ANVIL_CHAIN_ID = 80002
FUNDS_WEI = 10**24
_LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:(\d+)")
_START_S = 15.0
_STOP_S = 10.0
_TETHER = Path(__file__).with_name("tether.py")


class AnvilFailed(Exception):
    """Anvil did not start; the text says why without its output."""


@dataclass(frozen=True)
class EvmKeys:
    """The two accounts of an embedded chain; made once for a data folder."""

    minter: LocalAccount
    voucher: LocalAccount


def embedded_keys(folder: Path) -> EvmKeys:
    """Read the keys of a data folder, or make them: random, in a file of mode 0600.

    Args:
        folder: Folder of the embedded EVM chain; made when missing.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "keys.json"
    if not path.exists():
        made = {name: "0x" + secrets.token_hex(32) for name in ("minter", "voucher")}
        draft = path.with_suffix(".draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(made, file)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    kept = json.loads(path.read_text())
    return EvmKeys(Account.from_key(kept["minter"]), Account.from_key(kept["voucher"]))


class Anvil:
    """An anvil child with its state in a folder; dies with this process.

    Args:
        binary: The program of the npm package.
        folder: Where its state is kept; one process at a time.
        port: Port on 127.0.0.1, 0 for a free one.
        chain_id: Number of the chain.
    """

    mode = "embedded-anvil"

    def __init__(self, binary: Path, folder: Path, port: int = 0, chain_id: int = ANVIL_CHAIN_ID) -> None:
        self._binary = binary
        self._folder = folder
        self._wanted_port = port
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[None] | None = None
        self._lock: TextIO | None = None
        self.chain_id = chain_id
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process; 0 while it does not run."""
        return self._process.pid if self._process and self._process.returncode is None else 0

    async def start(self) -> EvmNode:
        """Start it, or start it again, and wait until it listens; the same port once it had one.

        Raises:
            AnvilFailed: No such program, or another process uses the folder.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._take_folder()
        try:
            options = await self._known_options()
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                *options,
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(_START_S):
                self.port = await self._listening()
        except (OSError, TimeoutError) as fault:
            await self.stop()
            raise AnvilFailed("anvil did not start: wrong program, processor or port") from fault
        self._drain = asyncio.create_task(self._drop_output())
        return http_node(self.url, 0)

    async def ensure(self) -> bool:
        """Start it again if it has died; tell whether that was needed."""
        if self.pid:
            return False
        await self.start()
        return True

    async def stop(self) -> None:
        """Let it write its state and end; kill it after 10 s."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._drain is not None:
            self._drain.cancel()
            await asyncio.gather(self._drain, return_exceptions=True)
            self._drain = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _command(self) -> list[str]:
        # `finalized` is the newest block less two with one slot an epoch. The mnemonic is random, so that no
        # account of this chain has a key that the world knows.
        return [
            sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), str(self._binary),
            "--host", "127.0.0.1", "--port", str(self.port or self._wanted_port),
            "--chain-id", str(self.chain_id), "--slots-in-an-epoch", "1", "--mnemonic-random", "12",
            "--state", str(self._folder / "state.json"), "--state-interval", "5",
        ]  # fmt: skip

    async def _known_options(self) -> list[str]:
        # Without it every page in a browser on this machine may read the chain and send to it.
        asked = await asyncio.create_subprocess_exec(
            str(self._binary),
            "--help",
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            said, _ = await asyncio.wait_for(asked.communicate(), _START_S)
        finally:
            if asked.returncode is None:
                asked.kill()
                await asked.wait()
        return ["--no-cors"] if b"--no-cors" in said else []

    def _environment(self) -> dict[str, str]:
        # What this process was given holds its secrets and names settings of anvil: nothing of it goes on.
        return {"PATH": os.defpath, "HOME": str(self._folder)}

    async def _take_folder(self) -> None:
        if self._lock is not None:
            return
        lock = (self._folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            lock.close()
            raise AnvilFailed("another process uses the folder of the embedded EVM chain") from fault
        self._lock = lock

    async def _listening(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            found = _LISTENING.search(line)
            if found:
                return int(found.group(1))
        raise OSError("anvil ended before it listened")

    async def _drop_output(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while await self._process.stdout.read(65536):
            pass


async def fund(node: EvmNode, address: str) -> None:
    """Give an account of an embedded anvil what it needs for fees.

    Raises:
        AnvilFailed: It refuses.
    """
    answer = await node.w3.provider.make_request(RPCEndpoint("anvil_setBalance"), [address, hex(FUNDS_WEI)])
    if "error" in answer:
        raise AnvilFailed("anvil gave the account no funds")


async def mine(node: EvmNode, blocks: int = 1) -> None:
    """Let an embedded anvil mine, so that what is mined becomes final."""
    await node.w3.provider.make_request(RPCEndpoint("anvil_mine"), [hex(blocks)])
