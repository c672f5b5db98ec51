"""Streams under way end when what they were let in with holds no more.

A unary call is over before a change of access takes effect; a stream may run for an hour. One task per
process looks at all of them, and only while there are any. No message of a stream costs anything here: the
streams are compared with the changes when there are new ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cohortlens.core.errors import CohortLensError, PermissionDenied, Unauthenticated, Unavailable
from cohortlens.core.telemetry import get_logger

PERIOD_S = 0.1
"""How often the task looks for news; together with their age of 1.8 s at most a change holds within 2 s."""
_ASK_AGAIN_S = 1.0
_LOG = get_logger(__name__)

Check = Callable[[], None]
"""Compares with what is known now; raises Unauthenticated."""
Ask = Callable[[], Awaitable[None]]
"""Proves a credential anew, out of memory as a rule; raises Unauthenticated or PermissionDenied."""


class News(Protocol):
    """Changes of access as this process knows them; ``identity.access.revocations.Revocations``."""

    @property
    def edition(self) -> int:
        """Raised by each change that becomes known."""

    @property
    def fresh_until(self) -> float:
        """Monotonic time until which what is known may be used without asking."""

    in_use: bool

    async def refreshed(self, now: float, *, strict: bool = False) -> None:
        """Return once what is known is fresh enough; raises Unavailable when nobody can tell any more."""


@dataclass(frozen=True)
class Standing:
    """What tells whether something that was taken still holds.

    Attributes:
        news: Changes of access.
        of_token: Gives the check of an access token that was taken this moment. It leaves out the expiry:
            a token that was good at the start is good for the stream.
    """

    news: News
    of_token: Callable[[str], Check]


class Stream:
    """A stream under way.

    Args:
        task: The task that runs it.
        check: Compares an access token with the changes; None where there is no token.
        ask: Proves a key or a certificate anew; None where there is none.
    """

    __slots__ = ("_fault", "_task", "ask", "asking", "check")

    def __init__(self, task: asyncio.Task[Any], check: Check | None, ask: Ask | None) -> None:
        self._task = task
        self._fault: CohortLensError | None = None
        self.check = check
        self.ask = ask
        self.asking: asyncio.Task[None] | None = None

    def end(self, fault: CohortLensError) -> None:
        """Stop the work; ``ended`` says why where the task comes out of it."""
        if self._fault is None:
            self._fault = fault
            self._task.cancel()

    def ended(self) -> CohortLensError | None:
        """Why the work was stopped; None when it was not, or when something else stopped it too.

        Takes the cancellation back. To be called once, outside the work.
        """
        if self._fault is None or self._task.uncancel() > 0:
            return None
        return self._fault


class StreamWatch:
    """Ends streams whose credential holds no more.

    Args:
        news: Changes of access.
        clock: Monotonic time.
    """

    def __init__(self, news: News, clock: Callable[[], float] = time.monotonic) -> None:
        self._news = news
        self._clock = clock
        self._streams: set[Stream] = set()
        self._following: asyncio.Task[None] | None = None
        self._edition = news.edition
        self._ask_at = 0.0

    def enter(self, stream: Stream) -> None:
        """Watch a stream whose credential was found good this moment."""
        self._streams.add(stream)
        if self._following is None or self._following.done():
            self._edition = self._news.edition
            self._following = asyncio.create_task(self._follow(), name="stream-watch")

    def leave(self, stream: Stream) -> None:
        """Watch a stream no more."""
        self._streams.discard(stream)
        if stream.asking is not None:
            stream.asking.cancel()

    async def _follow(self) -> None:
        while self._streams:
            await asyncio.sleep(PERIOD_S)
            try:
                await self._look()
            except Unavailable as fault:
                self._end_all(fault.message, fault.reason)
            except Exception as error:
                # Whoever cannot look must not let anything go on.
                _LOG.error("stream_watch_failed", exc_info=error)
                self._end_all("whether the caller may go on cannot be told; call again", "UNAVAILABLE")

    async def _look(self) -> None:
        now = self._clock()
        self._news.in_use = True
        if now >= self._news.fresh_until:
            await self._news.refreshed(now)
        edition = self._news.edition
        is_new = edition != self._edition
        self._edition = edition
        if is_new:
            self._compare()
        if is_new or now >= self._ask_at:
            self._ask_at = now + _ASK_AGAIN_S
            self._ask()

    def _compare(self) -> None:
        for stream in list(self._streams):
            if stream.check is not None:
                try:
                    stream.check()
                except Unauthenticated as fault:
                    stream.end(fault)

    def _ask(self) -> None:
        """Prove keys and certificates anew, side by side: one that waits must not make others late."""
        for stream in self._streams:
            if stream.ask is not None and (stream.asking is None or stream.asking.done()):
                stream.asking = asyncio.create_task(_asked(stream, stream.ask))

    def _end_all(self, message: str, reason: str) -> None:
        for stream in list(self._streams):
            stream.end(Unavailable(message, reason=reason, retry_delay_s=1.0))


async def _asked(stream: Stream, ask: Ask) -> None:
    try:
        await ask()
    except (Unauthenticated, PermissionDenied) as fault:
        stream.end(fault)
    except Unavailable:
        # A row that cannot be read says nothing; how long that may last is for the news to say.
        return
    except Exception as error:
        _LOG.error("stream_watch_failed", exc_info=error)
        stream.end(
            Unavailable("whether the caller may go on cannot be told; call again", reason="UNAVAILABLE")
        )
