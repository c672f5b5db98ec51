"""A node of a chain that goes away in the two ways that networks have, and the reward token on that node."""

from __future__ import annotations

import asyncio
import contextlib

from web3.utils import get_create_address

from sidecars.web3.rewards.token import RewardToken
from tests.fixtures.waiting import eventually


class ChainProxy:
    """A TCP proxy before a node that refuses connections, swallows them, or lets all through."""

    def __init__(self, port):
        self._there = port
        self._server = None
        self._is_silent = False
        self._writers = set()
        self.port = 0

    @property
    def url(self):
        """Where the node seems to be."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self):
        await self.recover()
        return self

    async def __aexit__(self, *_):
        await self.refuse()

    async def refuse(self):
        """Nobody listens, and what was open is cut."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def swallow(self):
        """Connections are taken and bytes are read; nothing is ever answered."""
        await self.recover()
        self._is_silent = True

    async def recover(self):
        """The node is there."""
        self._is_silent = False
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]
        else:
            for writer in list(self._writers):
                writer.transport.abort()

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError):
                if self._is_silent:
                    while await reader.read(65536):
                        pass
                else:
                    await self._joined(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _joined(self, reader, writer):
        back, there = await asyncio.open_connection("127.0.0.1", self._there)
        await asyncio.gather(self._pumped(reader, there), self._pumped(back, writer))

    async def _pumped(self, source, target):
        while (data := await source.read(65536)) and not self._is_silent:
            target.write(data)
            await target.drain()
        target.close()


async def deployed(node, minter, voucher):
    """Deploy the reward token; answers its address."""
    nonce = await node.nonce(minter.address)
    fields = {
        "type": 2, "chainId": await node.chain_id(), "nonce": nonce, "value": 0, "gas": 5_000_000,
        "data": RewardToken().deployment(minter.address, minter.address, voucher, minter.address),
        "maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9,
    }  # fmt: skip
    await node.send(bytes(minter.sign_transaction(fields).raw_transaction))
    address = str(get_create_address(minter.address, nonce))
    await eventually(lambda: node.code(address), 30.0, "the reward token on its chain")
    return address
