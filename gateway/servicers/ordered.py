"""Answers of a stream in the order of its requests, while several of them are worked on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")


async def in_order(
    requests: AsyncIterator[RequestT],
    answer: Callable[[RequestT], Coroutine[Any, Any, ReplyT]],
    window: int,
) -> AsyncGenerator[ReplyT, None]:
    """Answer requests as they come; the first reply leaves although the caller sends nothing more.

    Args:
        requests: The requests.
        answer: Answers one; what it raises ends the stream.
        window: Most requests under way; beyond it no more are read, so a slow reader holds the sender back.
    """
    waiting: asyncio.Queue[asyncio.Task[ReplyT] | None] = asyncio.Queue(window)
    tasks: set[asyncio.Task[ReplyT]] = set()

    async def read() -> None:
        try:
            async for request in requests:
                task = asyncio.create_task(answer(request))
                tasks.add(task)
                await waiting.put(task)
        except Exception:
            # What was asked before the fault is answered first.
            await waiting.put(None)
            raise
        await waiting.put(None)

    reader = asyncio.create_task(read())
    try:
        while (task := await waiting.get()) is not None:
            reply = await task
            tasks.discard(task)
            yield reply
        await reader
    finally:
        for left in (reader, *tasks):
            left.cancel()
        await asyncio.gather(reader, *tasks, return_exceptions=True)
