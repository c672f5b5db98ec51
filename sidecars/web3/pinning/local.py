"""The embedded store on an event loop: files go in and come out in pieces, the disk works in threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TypeVar

from cohortlens.core.failpoints import failpoint
from sidecars.web3.pinning.blockstore import Blockstore
from sidecars.web3.pinning.cid import Cid
from sidecars.web3.pinning.dagpb import Link
from sidecars.web3.pinning.errors import PinStoreBusy
from sidecars.web3.pinning.unixfs import USUAL, Profile, TreeBuilder, file_size, read_file

ResultT = TypeVar("ResultT")

_TRIES, _TRY_EVERY_S = 300, 0.1


class LocalStore:
    """Files of the embedded store.

    Args:
        store: Blocks and pins on disk.
        threads: Where the disk's work is done.
    """

    def __init__(self, store: Blockstore, threads: ThreadPoolExecutor) -> None:
        self.store = store
        self._threads = threads
        self._collecting = asyncio.Lock()

    async def run(self, work: Callable[..., ResultT], *args: object) -> ResultT:
        """Do blocking work in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args))

    async def add(
        self,
        pieces: AsyncIterator[bytes],
        pin_as: Callable[[Cid], str] | None = None,
        profile: Profile = USUAL,
    ) -> Link:
        """Keep a file, and pin it before a collection can come.

        Args:
            pieces: The file.
            pin_as: Names its pin; without it the next collection removes the file.
            profile: How it is cut.

        Returns:
            Its root.

        Raises:
            PinStoreFull: The disk has too little room; what was written is left to the next collection.
        """
        await self.run(self.store.check_room)
        with ExitStack() as lock:
            await self.run(lock.enter_context, self.store.adding())
            builder = TreeBuilder(self.store.put, profile)
            async for piece in pieces:
                await self.run(builder.write, piece)
            root = await self.run(builder.finish)
            failpoint("web3.pin.blocks")
            if pin_as is not None:
                await self.run(self.store.pin, pin_as(root.cid), root.cid)
        return root

    async def hash(self, pieces: AsyncIterator[bytes], profile: Profile = USUAL) -> Link:
        """The root that a file would have; nothing is kept."""
        builder = TreeBuilder(lambda _cid, _block: None, profile)
        async for piece in pieces:
            await self.run(builder.write, piece)
        return await self.run(builder.finish)

    async def pin(self, pin_name: str, root: Cid) -> None:
        """Pin what is kept already.

        Raises:
            ContentNotFound: A part of it is not kept here.
            PinContentCorrupt: A node of it is damaged.
        """
        with ExitStack() as lock:
            await self.run(lock.enter_context, self.store.adding())
            await self.run(self._check_whole, root)
            await self.run(self.store.pin, pin_name, root)

    async def collect(self) -> list[Cid]:
        """Remove what no pin keeps, once no add is under way; what was removed.

        Raises:
            PinStoreBusy: Adds went on for half a minute.
            ContentNotFound: A node below a pin is missing; nothing was removed.
            PinContentCorrupt: A node below a pin is damaged; nothing was removed.
        """
        async with self._collecting:
            for _ in range(_TRIES):
                with suppress(BlockingIOError):
                    return await self.run(self.store.collect)
                # Not in the thread: four that wait there would leave none to the adds they wait for.
                await asyncio.sleep(_TRY_EVERY_S)
        raise PinStoreBusy("content is being added to the store; collect again later", retry_delay_s=30.0)

    async def size(self, cid: Cid) -> int:
        """Bytes of a file.

        Raises:
            ContentNotFound: It is not kept here.
            CidUnsupported: It is no file.
        """
        return await self.run(file_size, self.store.get, cid)

    async def read(self, cid: Cid, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """A file, or a part of it, in pieces; each block is checked before its bytes are handed out.

        Raises:
            ContentNotFound: A block is not kept here.
            PinContentCorrupt: A block is damaged.
            CidUnsupported: It is no file.
        """
        walk = read_file(self.store.get, cid, offset, length)
        while (piece := await self.run(next, walk, None)) is not None:
            yield piece

    def _check_whole(self, root: Cid) -> None:
        for cid in self.store.below(root):
            self.store.get(cid)
