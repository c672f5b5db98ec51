"""The commands of the Kubo front about pins and the store as a whole."""

from __future__ import annotations

import json

from aiohttp import web

from sidecars.web3.devchain.ipfs_files import RPC_PIN
from sidecars.web3.devchain.ipfs_requests import Arguments, BadArgument
from sidecars.web3.pinning.cid import Cid
from sidecars.web3.pinning.errors import ContentNotFound
from sidecars.web3.pinning.local import LocalStore

_TYPES = ("all", "recursive", "indirect", "direct")


class PinCommands:
    """Makes, lists and removes pins.

    Args:
        local: The store.
    """

    def __init__(self, local: LocalStore) -> None:
        self._local = local

    async def add(self, arguments: Arguments) -> web.StreamResponse:
        """``pin/add``: keep what is here from collection."""
        if not arguments.flag("recursive", True):
            raise BadArgument("recursive: only recursive pins are supported by this store")
        cids = arguments.cids()
        for cid in cids:
            await self._local.pin(RPC_PIN + cid.key, cid)
        return web.json_response({"Pins": [str(cid) for cid in cids]})

    async def list(self, arguments: Arguments) -> web.StreamResponse:
        """``pin/ls``: all pins, or how the named CIDs are pinned."""
        wanted = arguments.text("type", "all")
        if wanted not in _TYPES:
            raise BadArgument(f"type: expected one of {', '.join(_TYPES)}")
        named = arguments.cids(at_least_one=False)
        kinds = await self._local.run(self._kinds, wanted)
        shown = {text: kind for text, kind in kinds.values() if wanted in ("all", kind)}
        if named:
            for cid in named:
                if kinds.get(cid.key, ("", ""))[0] not in shown:
                    raise ContentNotFound(f"path '{cid}' is not pinned")
            shown = {str(cid): kinds[cid.key][1] for cid in named}
        return web.json_response({"Keys": {text: {"Type": kind} for text, kind in shown.items()}})

    async def remove(self, arguments: Arguments) -> web.StreamResponse:
        """``pin/rm``: let go of pins that were made here."""
        cids = arguments.cids()
        for cid in cids:
            if not await self._local.run(self._local.store.unpin, RPC_PIN + cid.key):
                raise ContentNotFound(f"{cid} is not pinned by this interface or pinned indirectly")
        return web.json_response({"Pins": [str(cid) for cid in cids]})

    async def repo_stat(self, _arguments: Arguments) -> web.StreamResponse:
        """``repo/stat``: how much is kept."""
        count, size = await self._local.run(self._local.store.size)
        return web.json_response(
            {
                "NumObjects": count,
                "RepoSize": size,
                "StorageMax": 0,
                "RepoPath": "",
                "Version": "fs-repo@11",
            }
        )

    async def collect(self, _arguments: Arguments) -> web.StreamResponse:
        """``repo/gc``: remove what no pin keeps; a line of JSON each."""
        removed = await self._local.collect()
        lines = [json.dumps({"Key": {"/": str(cid)}}) + "\n" for cid in removed]
        return web.Response(text="".join(lines), content_type="application/json")

    def _kinds(self, wanted: str) -> dict[str, tuple[str, str]]:
        roots: dict[str, Cid] = {cid.key: cid for cid in self._local.store.pins().values()}
        kinds = {key: (str(cid), "recursive") for key, cid in roots.items()}
        if wanted in ("all", "indirect"):
            for root in roots.values():
                for cid in self._local.store.below(root):
                    kinds.setdefault(cid.key, (str(cid), "indirect"))
        return kinds
