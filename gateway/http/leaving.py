"""Notices over HTTP/1 that a caller has left, which the server beneath tells only once it writes.

Asks the kernel for the state of the connection by its two ends (``sock_diag``), which costs some microseconds
and touches no socket of the server. A caller that closes its sending side alone counts as gone, as with other
servers. Where the kernel does not answer such questions, or does not know the connection from the start,
nobody is noticed and a call runs until its deadline.

Source: sock_diag(7); ``linux/inet_diag.h``.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from cohortlens.core.telemetry import get_logger

LOOK_EVERY_S: Final = 0.5
Ends = tuple[str, int, str, int]
"""Address and port of the caller, address and port it reached."""

_LOG = get_logger(__name__)
_NETLINK_SOCK_DIAG: Final = 4
_BY_FAMILY, _ERROR, _REQUEST = 20, 2, 1
_ESTABLISHED: Final = 1
_NO_COOKIE: Final = 2**32 - 1
# nlmsghdr, then inet_diag_req_v2 with the two ends; ports and addresses in network order.
_HEAD: Final = struct.Struct("=IHHII")
_QUESTION: Final = struct.Struct("=BBBBI2s2s16s16sIII")
_ANSWER_BYTES: Final = 8192


async def until_gone(ends: Ends) -> None:
    """Return when the caller of a connection has left; never where that cannot be known."""
    question = _question(ends)
    # A connection that is not there now was never seen: its ends are not what the server takes them for.
    known = _state(question) == _ESTABLISHED
    while known:
        await asyncio.sleep(LOOK_EVERY_S)
        state = _state(question)
        if state != _ESTABLISHED and state is not None:
            return
    await asyncio.Event().wait()


def _question(ends: Ends) -> bytes:
    theirs, their_port, ours, our_port = ends
    family = socket.AF_INET6 if ":" in ours else socket.AF_INET
    body = _QUESTION.pack(
        family,
        socket.IPPROTO_TCP,
        0,
        0,
        _NO_COOKIE,
        our_port.to_bytes(2, "big"),
        their_port.to_bytes(2, "big"),
        ip_address(ours.partition("%")[0]).packed,
        ip_address(theirs.partition("%")[0]).packed,
        0,
        _NO_COOKIE,
        _NO_COOKIE,
    )
    return _HEAD.pack(_HEAD.size + len(body), _BY_FAMILY, _REQUEST, 1, 0) + body


def _state(question: bytes) -> int | None:
    """State of a connection as the kernel numbers it, 0 for none; None when it does not say."""
    asked = _asked()
    if asked is None:
        return None
    try:
        asked.send(question)
        answer = asked.recv(_ANSWER_BYTES)
    except OSError:
        return None
    kind = _HEAD.unpack_from(answer)[1]
    if kind == _BY_FAMILY:
        return answer[_HEAD.size + 1]
    code = -struct.unpack_from("=i", answer, _HEAD.size)[0] if kind == _ERROR else 0
    return 0 if code == errno.ENOENT else None


@lru_cache(maxsize=1)
def _asked() -> socket.socket | None:
    """Where the kernel is asked; one for the process, used by the thread of the event loop alone."""
    try:
        asked = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    except (AttributeError, OSError) as error:
        _LOG.warning("leaving_unseen", detail=str(error))
        return None
    asked.setblocking(False)
    return asked
