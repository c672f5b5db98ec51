"""What a service is that keeps content for us: one Protocol, and the HTTP calls that two of them share.

The embedded store is none of them: it keeps everything first, always, and the services get the content from
it. A service never decides what a CID is; ours is computed before, and another answer is a fault.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from sidecars.web3.pinning.cid import Cid, parse_cid
from sidecars.web3.pinning.errors import (
    CidUnsupported,
    PinBackendDenied,
    PinBackendRefused,
    PinBackendUnavailable,
    PinCidMismatch,
)

_CONNECT_S, _READ_S = 10.0, 60.0
_ANSWER_BYTES_MOST = 1 << 20
_RETRY_AFTER_MOST_S = 3600.0


@dataclass(frozen=True, slots=True)
class Content:
    """What a service is to keep.

    Attributes:
        name: Name at the service: random, and the same at every try.
        cid: Our CID of it.
        size_bytes: Its bytes.
        pieces: Reads it from the store; blocks, so it is called in a thread.
        stream: Reads it from the store on an event loop.
    """

    name: str
    cid: Cid
    size_bytes: int
    pieces: Callable[[], Iterator[bytes]]
    stream: Callable[[], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Kept:
    """How far a service is.

    Attributes:
        is_pinned: Whether it says that it keeps the content.
        remote_id: Its own identifier of the pin; empty where the CID is enough.
        reason: Why it is not pinned yet, in upper snake case.
    """

    is_pinned: bool
    remote_id: str = ""
    reason: str = ""


class Backend(Protocol):
    """A service that keeps content. Every method may be called again after any fault."""

    @property
    def name(self) -> str:
        """``kubo``, ``pinning-service`` or ``pinata``."""
        ...

    @property
    def has_one_pin_per_cid(self) -> bool:
        """Whether two pins of the same content are one pin there, so that only the last one is removed."""
        ...

    async def keep(self, content: Content, remote_id: str) -> Kept:
        """Have the content kept, or ask how far that is.

        Args:
            content: What is to be kept.
            remote_id: What the last call answered; empty at first.

        Raises:
            PinCidMismatch: It answered with another CID; its pin was removed.
            PinBackendDenied: It refuses our credentials.
            PinBackendRefused: It refuses the request for good.
            PinBackendUnavailable: It does not answer, or is busy.
        """
        ...

    async def release(self, name: str, cid: Cid, remote_id: str) -> None:
        """Have it let go of a pin; one that it does not have is a success.

        Raises:
            PinBackendDenied: It refuses our credentials.
            PinBackendRefused: It refuses the request for good.
            PinBackendUnavailable: It does not answer, or is busy.
        """
        ...

    async def close(self) -> None:
        """Let its connections go."""
        ...


class HttpCalls:
    """Calls to a service with a bearer token.

    Args:
        base: URL without a path's end.
        token: The token.
    """

    def __init__(self, base: str, token: str) -> None:
        self._base = base.rstrip("/")
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_S, sock_read=_READ_S)
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"}, timeout=timeout, trust_env=False
        )

    async def json(
        self, method: str, path: str, missing_is_fine: bool = False, **sent: Any
    ) -> dict[str, Any]:
        """Call, and read the object that it answers; empty where nothing is answered.

        Args:
            method: HTTP method.
            path: Path and query below the base.
            missing_is_fine: Whether 404 is an empty answer.
            **sent: Body and parameters, as aiohttp takes them.

        Raises:
            PinBackendDenied: Status 401 or 403.
            PinBackendRefused: Another status below 500, or a redirection.
            PinBackendUnavailable: No answer, 429, 5xx or an answer that cannot be read.
        """
        async with self._answer(method, path, **sent) as answer:
            if answer.status == 404 and missing_is_fine:
                return {}
            check_status(answer.status, answer.headers)
            body = await _body(answer)
        if not body.strip():
            return {}
        try:
            read = json.loads(body)
        except ValueError as error:
            raise PinBackendUnavailable("the pinning service answered no JSON") from error
        if not isinstance(read, dict):
            raise PinBackendUnavailable("the pinning service answered something else than a JSON object")
        return read

    async def close(self) -> None:
        """Let the connections go."""
        await self._session.close()

    @asynccontextmanager
    async def _answer(self, method: str, path: str, **sent: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            # A redirection would carry the token, or the content, to somebody that no setting names.
            async with self._session.request(
                method, self._base + path, allow_redirects=False, **sent
            ) as answer:
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PinBackendUnavailable("the pinning service does not answer", retry_delay_s=1.0) from error


def check_status(status: int, headers: Mapping[str, str]) -> None:
    """Turn an HTTP status into the fault that it stands for.

    Raises:
        PinBackendDenied: 401 or 403.
        PinBackendUnavailable: 408, 425, 429 or 5xx, with the wait that it asks for.
        PinBackendRefused: Any other that is no success.
    """
    if 200 <= status < 300:
        return
    if status in (401, 403):
        raise PinBackendDenied(f"the pinning service refuses our credentials ({status}); check the settings")
    if status in (408, 425, 429) or status >= 500:
        raise PinBackendUnavailable(
            f"the pinning service asks to come back later ({status})", retry_delay_s=_wait(headers)
        )
    raise PinBackendRefused(f"the pinning service refuses the request ({status})")


def check_cid(answered: object, ours: Cid) -> None:
    """Check that a service names the same block as we do, in whichever spelling.

    Raises:
        PinCidMismatch: It does not.
    """
    try:
        same = isinstance(answered, str) and parse_cid(answered).key == ours.key
    except CidUnsupported:
        same = False
    if not same:
        raise PinCidMismatch(
            "the service computed another CID for the same bytes; its pin is removed",
            metadata={"cid": str(ours)},
        )


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_chunked(65_536):
        body += piece
        if len(body) > _ANSWER_BYTES_MOST:
            raise PinBackendUnavailable("the pinning service answered too much")
    return bytes(body)


def _wait(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")
    return min(float(text), _RETRY_AFTER_MOST_S) if text.isascii() and text.isdigit() else None
