"""The commands of the Kubo front about files and blocks."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack

from aiohttp import web

from cohortlens.core.errors import CohortLensError
from sidecars.web3.devchain.ipfs_requests import Arguments, BadArgument
from sidecars.web3.pinning.blockstore import BLOCK_BYTES_MOST
from sidecars.web3.pinning.cid import DAG_PB, RAW, Cid, cid_of, parse_cid
from sidecars.web3.pinning.local import LocalStore
from sidecars.web3.pinning.unixfs import MOST_PIECE_BYTES, PIECE_BYTES, Profile

RPC_PIN = "rpc-"
"""Begins the names of pins that this front made; the others belong to rows of the journal."""

_CHUNKER = re.compile(r"size-([1-9]\d{0,6})")
_CODECS = {"raw": (RAW, 1), "dag-pb": (DAG_PB, 1), "protobuf": (DAG_PB, 1), "v0": (DAG_PB, 0)}
_OPAQUE = {"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff"}


class FileCommands:
    """Adds and reads files and blocks.

    Args:
        local: The store.
    """

    def __init__(self, local: LocalStore) -> None:
        self._local = local

    async def add(self, arguments: Arguments) -> web.StreamResponse:
        """``add``: keep files; a line of JSON each."""
        arguments.refuse("trickle", "wrap-with-directory", "nocopy", "inline", "to-files")
        profile = _profile(arguments)
        only_hash, is_pinned = arguments.flag("only-hash", False), arguments.flag("pin", True)
        lines = []
        async for name, pieces in arguments.files():
            if only_hash:
                root = await self._local.hash(pieces, profile)
            else:
                root = await self._local.add(pieces, _pin_name if is_pinned else None, profile)
            shown = {"Name": name or str(root.cid), "Hash": str(root.cid), "Size": str(root.tree_bytes)}
            lines.append(json.dumps(shown))
        return web.Response(text="\n".join(lines) + "\n", content_type="application/json")

    async def cat(self, arguments: Arguments) -> web.StreamResponse:
        """``cat``: a file's bytes from ``offset``, ``length`` of them."""
        offset = arguments.number("offset", 0) or 0
        length = arguments.number("length", None)
        return await self._streamed(arguments, arguments.cids()[0], offset, length)

    async def gateway(self, arguments: Arguments) -> web.StreamResponse:
        """``GET /ipfs/{cid}``: a file, or with ``format=raw`` the block itself."""
        cid = parse_cid(arguments.request.match_info["cid"])
        form = arguments.text("format", "")
        if form == "raw" or arguments.request.headers.get("Accept") == "application/vnd.ipld.raw":
            block = await self._local.run(self._local.store.get, cid)
            return web.Response(body=block, headers=_OPAQUE | {"Content-Type": "application/vnd.ipld.raw"})
        if form:
            raise BadArgument("format: only raw is supported by this store")
        return await self._streamed(arguments, cid, 0, None)

    async def block_get(self, arguments: Arguments) -> web.StreamResponse:
        """``block/get``: a block's bytes."""
        block = await self._local.run(self._local.store.get, arguments.cids()[0])
        return web.Response(body=block, headers=_OPAQUE)

    async def block_stat(self, arguments: Arguments) -> web.StreamResponse:
        """``block/stat``: a block's size."""
        cid = arguments.cids()[0]
        block = await self._local.run(self._local.store.get, cid)
        return web.json_response({"Key": str(cid), "Size": len(block)})

    async def block_put(self, arguments: Arguments) -> web.StreamResponse:
        """``block/put``: keep one block as it is."""
        codec = arguments.text("cid-codec", "") or arguments.text("format", "v0")
        if codec not in _CODECS or arguments.text("mhtype", "sha2-256") != "sha2-256":
            raise BadArgument("this store keeps blocks of the codecs raw, dag-pb and v0 by sha2-256")
        is_pinned = arguments.flag("pin", False)
        lines = []
        async for _name, pieces in arguments.files():
            block = await _whole(pieces)
            cid = cid_of(block, *_CODECS[codec])
            with ExitStack() as lock:
                await self._local.run(lock.enter_context, self._local.store.adding())
                await self._local.run(self._local.store.put, cid, block)
                if is_pinned:
                    await self._local.pin(RPC_PIN + cid.key, cid)
            lines.append(json.dumps({"Key": str(cid), "Size": len(block)}))
        return web.Response(text="\n".join(lines) + "\n", content_type="application/json")

    async def _streamed(
        self, arguments: Arguments, cid: Cid, offset: int, length: int | None
    ) -> web.StreamResponse:
        pieces = self._local.read(cid, offset, length)
        # The first piece is read before the status is sent: most faults still get an error of their own.
        first = await anext(pieces, b"")
        response = web.StreamResponse(headers=_OPAQUE | {"Etag": f'"{cid}"', "X-Ipfs-Path": f"/ipfs/{cid}"})
        await response.prepare(arguments.request)
        try:
            await response.write(first)
            async for piece in pieces:
                await response.write(piece)
        except CohortLensError:
            # The status is sent: only a connection that breaks off says that the file is not whole.
            if arguments.request.transport is not None:
                arguments.request.transport.abort()
            return response
        await response.write_eof()
        return response


def _pin_name(cid: Cid) -> str:
    return RPC_PIN + cid.key


def _profile(arguments: Arguments) -> Profile:
    version = arguments.number("cid-version", 0, most=1) or 0
    chunker = arguments.text("chunker", f"size-{PIECE_BYTES}")
    match = _CHUNKER.fullmatch(chunker)
    if match is None or int(match[1]) > MOST_PIECE_BYTES:
        raise BadArgument(f"chunker: only size-N with N up to {MOST_PIECE_BYTES} is supported by this store")
    if arguments.text("hash", "sha2-256") != "sha2-256":
        raise BadArgument("hash: only sha2-256 is supported by this store")
    return Profile(version, arguments.flag("raw-leaves", version == 1), int(match[1]))


async def _whole(pieces: AsyncIterator[bytes]) -> bytes:
    block = bytearray()
    async for piece in pieces:
        block += piece
        if len(block) > BLOCK_BYTES_MOST:
            raise BadArgument(f"a block has at most {BLOCK_BYTES_MOST} bytes; add larger content as a file")
    return bytes(block)
