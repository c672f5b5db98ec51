"""Whether the caller of a request under way is still there, for every door of the HTTP port."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.http.body import Receive
from gateway.http.leaving import Ends, until_gone
from gateway.http.requests import Request

_BEGIN_AFTER_S: Final = 0.01


class CallerWatch:
    """Cancels the task that makes it once the caller of its request has left.

    Args:
        request: Request line and the ends of its connection.
        receive: The ASGI ``receive``; nobody else may ask it once the watch has begun.
        after_s: Seconds between ``begin`` and the first look: most calls are over before it would be worth
            its cost.

    Attributes:
        has_left: Whether the caller has left.
    """

    __slots__ = ("_after_s", "_receive", "_request", "_task", "_timer", "_ways", "has_left")

    def __init__(self, request: Request, receive: Receive, after_s: float = _BEGIN_AFTER_S) -> None:
        self._request, self._receive, self._after_s = request, receive, after_s
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._ways: tuple[asyncio.Task[None], ...] = ()
        self.has_left = False

    def begin(self) -> None:
        """Watch from soon on; the request is complete."""
        self._timer = asyncio.get_running_loop().call_later(self._after_s, self._start)

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
        for one in self._ways:
            one.cancel()

    def _start(self) -> None:
        ways = [self._told()]
        if self._request.ends is not None and self._request.is_http1:
            ways.append(self._seen(self._request.ends))
        self._ways = tuple(asyncio.create_task(one) for one in ways)

    async def _told(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    async def _seen(self, ends: Ends) -> None:
        await until_gone(ends)
        self._leave()

    def _leave(self) -> None:
        if not self.has_left and self._task is not None:
            self.has_left = True
            self._task.cancel()
