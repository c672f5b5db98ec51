"""What bodies under way may take, and the rest of a body that was answered before its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from cohortlens.core.errors import Unavailable

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MAX_GATHERED_BYTES = 256 * 2**20
_REST_S = 1.0


class Room:
    """What bodies that come in parts may take together, whoever sends them.

    A message may have 4 MiB and a connection a thousand streams: without a common bound a few connections
    could fill the memory before their deadlines pass.

    Args:
        most_bytes: What there is.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    def take(self, size: int) -> None:
        """Raises Unavailable (OVERLOADED) when there is no more."""
        if size > self._left:
            raise Unavailable(
                "too many large requests are being received; try again a little later",
                reason="OVERLOADED",
                retry_delay_s=1.0,
            )
        self._left -= size

    def give(self, size: int) -> None:
        """Take back what a call held."""
        self._left += size


async def take_rest(receive: Receive) -> None:
    """Read and drop a request until its end or its reset, which the answer brings; for a second at most.

    The server beneath now and then drops the whole connection, and every call on it, when the application is
    over while a request still comes.

    Args:
        receive: The ASGI callable of the request.
    """
    try:
        async with asyncio.timeout(_REST_S):
            while (await receive()).get("more_body", False):
                pass
    except TimeoutError:
        return
