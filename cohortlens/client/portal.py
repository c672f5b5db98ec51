"""A thread with an event loop of its own, in which the blocking client makes its calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class _End:
    """What an iterator gives behind its last value."""


class Portal:
    """Runs coroutines for threads that block; any number of threads may share one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cohortlens-client", daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether it still runs coroutines."""
        return not self._loop.is_closed()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for its result; an interrupted wait cancels it.

        Raises:
            RuntimeError: The client is closed.
        """
        if self._loop.is_closed():
            coroutine.close()
            raise RuntimeError("this client is closed")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, found: AsyncIterator[T]) -> Iterator[T]:
        """The values of an asynchronous iterator; one that is given up is closed."""
        try:
            while not isinstance(value := self.run(_next(found)), _End):
                yield value
        finally:
            if self.is_open:
                self.run(_closed(found))

    async def feed(self, requests: Iterable[T]) -> AsyncIterator[T]:
        """The values of an iterable that may block, each fetched in a thread aside of the loop."""
        values = iter(requests)
        while not isinstance(value := await asyncio.to_thread(next, values, _End()), _End):
            yield value

    def close(self) -> None:
        """End the thread; what still runs in it is cancelled."""
        if self._loop.is_closed():
            return
        self.run(_cancel_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _next(found: AsyncIterator[T]) -> T | _End:
    try:
        return await anext(found)
    except StopAsyncIteration:
        return _End()


async def _closed(found: AsyncIterator[Any]) -> None:
    close = getattr(found, "aclose", None)
    if close is not None:
        await close()


async def _cancel_rest() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
