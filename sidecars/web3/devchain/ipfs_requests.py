"""What a request to the Kubo front says: its arguments, its files, and whether a web page sent it."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator

from aiohttp import BodyPartReader, web

from sidecars.web3.pinning.cid import Cid, parse_cid

_PIECE_BYTES = 262_144
_FLAGS = {"true": True, "1": True, "": True, "false": False, "0": False}
_DIRECTORY = "application/x-directory"


class BadArgument(Exception):
    """An argument is missing, malformed or not supported; the text says which."""


class Arguments:
    """The arguments of a command.

    Args:
        request: The request; its body is read only where a command takes files.
    """

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self._query = request.query

    def flag(self, name: str, default: bool) -> bool:
        """An argument that is true or false.

        Raises:
            BadArgument: It is neither.
        """
        text = self._query.get(name)
        if text is None:
            return default
        if text.lower() not in _FLAGS:
            raise BadArgument(f"{name}: expected true or false")
        return _FLAGS[text.lower()]

    def number(self, name: str, default: int | None, most: int = 2**62) -> int | None:
        """An argument that is a whole number, 0 to ``most``.

        Raises:
            BadArgument: It is none.
        """
        text = self._query.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > most:
            raise BadArgument(f"{name}: expected a whole number from 0 to {most}")
        return int(text)

    def text(self, name: str, default: str) -> str:
        """An argument."""
        return self._query.get(name, default)

    def refuse(self, *names: str) -> None:
        """Refuse options that would change what is kept.

        Raises:
            BadArgument: One of them is set.
        """
        for name in names:
            if self.flag(name, False):
                raise BadArgument(f"{name}: not supported by this store")

    def cids(self, at_least_one: bool = True) -> list[Cid]:
        """The CIDs that a command is about, written bare or as ``/ipfs/<CID>``.

        Raises:
            BadArgument: There is none.
            CidUnsupported: One is none.
        """
        named = [text.removeprefix("/ipfs/").rstrip("/") for text in self._query.getall("arg", [])]
        if at_least_one and not named:
            raise BadArgument('argument "ipfs-path" is required')
        return [parse_cid(text) for text in named]

    async def files(self) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """The files of the body with their names.

        Raises:
            BadArgument: There is no body of parts, or one of them is a directory.
        """
        if not self.request.content_type.startswith("multipart/"):
            raise BadArgument("file argument 'path' is required, as multipart/form-data")
        count = 0
        try:
            async for part in await self.request.multipart():
                if not isinstance(part, BodyPartReader):
                    raise BadArgument("parts within parts are not supported")
                if part.headers.get("Content-Type", "").startswith(_DIRECTORY):
                    raise BadArgument("directories are not supported by this store")
                count += 1
                yield part.filename or "", _pieces(part)
        except ValueError as error:
            raise BadArgument("the body is no multipart/form-data, or is cut off") from error
        if not count:
            raise BadArgument("file argument 'path' is required")


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk(_PIECE_BYTES):
        yield piece


def is_from_web_page(request: web.Request) -> bool:
    """Whether a browser sent it for a page: those must not command what listens on loopback."""
    return "Origin" in request.headers or "Referer" in request.headers or not is_from_here(request)


def is_from_here(request: web.Request) -> bool:
    """Whether it names us as a program of this machine does: by a loopback address.

    A page could reach us under a name of its own, and would then read what we answer.
    """
    host = request.headers.get("Host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost"
