"""A bounded number of a stream's requests worked on at once, answered in their order or as they are ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")


async def answers(
    requests: AsyncIterator[RequestT],
    answer: Callable[[RequestT], Coroutine[Any, Any, ReplyT]],
    *,
    window: int,
    in_order: bool,
) -> AsyncGenerator[ReplyT, None]:
    """Answer requests as they come; ends when the requests have ended and all are answered.

    Args:
        requests: The requests. A fault of theirs is raised when what came before is answered.
        answer: Answers one; what it raises ends the stream.
        window: Most requests read and not yet answered: a slow reader or slow work holds the sender back.
        in_order: Whether replies keep the order of the requests.
    """
    slots, tasks = asyncio.Semaphore(window), set[asyncio.Task[ReplyT]]()
    ready: asyncio.Queue[asyncio.Task[ReplyT] | None] = asyncio.Queue()

    async def read() -> None:
        try:
            while await slots.acquire():
                request = await anext(requests, _END)
                if request is _END:
                    return
                task = asyncio.create_task(answer(request))
                tasks.add(task)
                if in_order:
                    ready.put_nowait(task)
                else:
                    task.add_done_callback(ready.put_nowait)
        finally:
            if tasks and not in_order:
                await asyncio.wait(tasks)
            ready.put_nowait(None)

    reader = asyncio.create_task(read())
    try:
        while (task := await ready.get()) is not None:
            reply = await task
            yield reply
            # Only now, when the door has taken the reply, the next request may be read.
            tasks.discard(task)
            slots.release()
        await reader
    finally:
        for left in (reader, *tasks):
            left.cancel()
        await asyncio.gather(reader, *tasks, return_exceptions=True)


_END: Any = object()
