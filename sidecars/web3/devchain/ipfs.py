"""The RPC of Kubo in front of the embedded store, so that ``ipfshttpclient`` and others speak to it.

A subset: adding, reading, blocks, pins, collection. It listens on loopback only, takes no request that a web
page sent, and is not connected to the public IPFS network.

Source: the reference of the Kubo RPC API, version 0 (docs.ipfs.tech/reference/kubo/rpc).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from cohortlens.core.errors import CohortLensError, InvalidArgument
from cohortlens.core.telemetry import get_logger
from sidecars.web3.devchain.ipfs_files import FileCommands
from sidecars.web3.devchain.ipfs_pins import PinCommands
from sidecars.web3.devchain.ipfs_requests import Arguments, BadArgument, is_from_here, is_from_web_page
from sidecars.web3.devchain.listening import LoopbackListener
from sidecars.web3.pinning.local import LocalStore

VERSION = "0.8.0"
AGENT = "cohortlens-blockstore"
_LOG = get_logger(__name__)

_Command = Callable[[Arguments], Awaitable[web.StreamResponse]]


class IpfsFront:
    """Serves the store until closed.

    Args:
        local: The store.

    Attributes:
        url: Its address once started, ``http://127.0.0.1:<port>``.
    """

    def __init__(self, local: LocalStore) -> None:
        self._files, self._pins = FileCommands(local), PinCommands(local)
        self._listener = LoopbackListener()
        self.url = ""
        self._commands: dict[str, _Command] = {
            "version": _version,
            "id": _identity,
            "add": self._files.add,
            "cat": self._files.cat,
            "block/get": self._files.block_get,
            "block/put": self._files.block_put,
            "block/stat": self._files.block_stat,
            "pin/add": self._pins.add,
            "pin/ls": self._pins.list,
            "pin/rm": self._pins.remove,
            "repo/stat": self._pins.repo_stat,
            "repo/gc": self._pins.collect,
        }

    def application(self) -> web.Application:
        """The routes, without a listener."""
        app = web.Application()
        app.router.add_get("/ipfs/{cid}", self._gateway)
        app.router.add_route("*", "/api/v0/{command:.+}", self._rpc)
        return app

    async def start(self, port: int = 0) -> str:
        """Listen on loopback.

        Args:
            port: 0 for any free one.

        Returns:
            The URL.
        """
        self.url = await self._listener.open(self.application(), port)
        return self.url

    async def close(self) -> None:
        """Stop listening; requests under way are cut after the usual grace."""
        await self._listener.close()

    async def _rpc(self, request: web.Request) -> web.StreamResponse:
        if is_from_web_page(request):
            return web.Response(status=403, text="403 - Forbidden")
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"}, text="405 - Method Not Allowed")
        command = self._commands.get(request.match_info["command"].rstrip("/"))
        if command is None:
            return web.Response(status=404, text="404 page not found")
        return await _answered(command, Arguments(request))

    async def _gateway(self, request: web.Request) -> web.StreamResponse:
        if not is_from_here(request):
            return web.Response(status=403, text="403 - Forbidden")
        return await _answered(self._files.gateway, Arguments(request))


async def _answered(command: _Command, arguments: Arguments) -> web.StreamResponse:
    try:
        return await command(arguments)
    except BadArgument as error:
        return _error(400, str(error))
    except CohortLensError as error:
        return _error(400 if isinstance(error, InvalidArgument) else 500, error.message)
    except (ConnectionError, web.HTTPException):
        raise
    except Exception:
        _LOG.exception("ipfs_front_failed", path=arguments.request.path)
        return _error(500, "internal error")


def _error(status: int, message: str) -> web.Response:
    body: dict[str, Any] = {"Message": message, "Code": 1 if status == 400 else 0, "Type": "error"}
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")


async def _version(_arguments: Arguments) -> web.StreamResponse:
    return web.json_response({"Version": VERSION, "Commit": AGENT, "Repo": "11", "System": "", "Golang": ""})


async def _identity(_arguments: Arguments) -> web.StreamResponse:
    # It has no key and no address of a peer: it is on no network.
    return web.json_response(
        {
            "ID": "",
            "PublicKey": "",
            "Addresses": [],
            "AgentVersion": AGENT,
            "ProtocolVersion": "ipfs/0.1.0",
            "Protocols": [],
        }
    )
