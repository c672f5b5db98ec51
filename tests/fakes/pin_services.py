"""Services that keep content, each on a socket of its own and speaking its documented wire.

Beside what a real one does, they can be told to fail, to lose an answer or to compute another CID, and they
remember every byte that reached them.
"""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from aiohttp import web

from sidecars.web3.devchain.ipfs import IpfsFront
from sidecars.web3.pinning.blockstore import Blockstore
from sidecars.web3.pinning.cid import RAW, cid_of
from sidecars.web3.pinning.local import LocalStore
from sidecars.web3.pinning.unixfs import content_cid

OTHER_CID = str(cid_of(b"something else", RAW))


class FakeService:
    """What all of them share: a listener, its faults and what it was sent.

    Attributes:
        faults: Answers instead of the next ones: a status, or (status, headers).
        loses: How many of the next answers to calls that change something never arrive.
        is_wrong: Whether it computes another CID than everybody else.
        seen: Method and path of every call.
        received: Bodies.
    """

    authorization = "Bearer sesame"

    def __init__(self):
        self.faults, self.loses, self.is_wrong = [], 0, False
        self.seen, self.received = [], bytearray()
        self._runner = None
        self.url = ""

    def application(self):
        raise NotImplementedError

    def kept(self):
        """CIDs it keeps, in the usual spelling."""
        raise NotImplementedError

    async def start(self):
        app = self.application()
        app.middlewares.append(self._guarded)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self):
        await self._runner.cleanup()

    @web.middleware
    async def _guarded(self, request, handler):
        self.seen.append((request.method, request.path))
        if request.headers.get("Authorization") != self.authorization:
            return web.Response(status=401)
        if self.faults:
            fault = self.faults.pop(0)
            status, headers = fault if isinstance(fault, tuple) else (fault, {})
            return web.Response(status=status, headers=headers)
        answer = await handler(request)
        if self.loses and request.method != "GET" and not request.path.endswith("/pin/ls"):
            self.loses -= 1
            request.transport.abort()
        return answer


class FakeKubo(FakeService):
    """A node with HTTP Basic: the embedded front over a store of its own."""

    auth = "project:s3cr3t:with-colon"
    authorization = "Basic " + base64.b64encode(auth.encode()).decode()

    def __init__(self, folder):
        super().__init__()
        self._threads = ThreadPoolExecutor(2)
        self.store = Blockstore(folder, free_bytes_least=0)

    def application(self):
        app = IpfsFront(LocalStore(self.store, self._threads)).application()
        app.middlewares.append(self._other)
        return app

    @web.middleware
    async def _other(self, request, handler):
        if self.is_wrong and request.path.endswith("/add"):
            # As a node would whose default is another chunker.
            request = request.clone(rel_url=request.rel_url.update_query(chunker="size-1000"))
        return await handler(request)

    def kept(self):
        return sorted(str(cid) for cid in self.store.pins().values())

    async def stop(self):
        await super().stop()
        self._threads.shutdown()


class FakePinningService(FakeService):
    """The Pinning Service API.

    Attributes:
        states: States that a pin goes through, one a look.
    """

    def __init__(self):
        super().__init__()
        self.pins, self._ids, self.states = {}, count(1), ["queued", "pinning", "pinned"]

    def application(self):
        app = web.Application()
        app.router.add_post("/pins", self._create)
        app.router.add_get("/pins", self._list)
        app.router.add_get("/pins/{id}", self._get)
        app.router.add_delete("/pins/{id}", self._delete)
        return app

    def kept(self):
        return sorted(row["cid"] for row in self.pins.values())

    def _shown(self, request_id):
        row = self.pins[request_id]
        state = row["states"].pop(0) if len(row["states"]) > 1 else row["states"][0]
        cid = OTHER_CID if self.is_wrong else row["cid"]
        return {
            "requestid": request_id,
            "status": state,
            "created": "2026-01-01T00:00:00Z",
            "pin": {"cid": cid, "name": row["name"]},
            "delegates": [],
            "info": {},
        }

    async def _create(self, request):
        self.received += await request.read()
        body = await request.json()
        request_id = f"request-{next(self._ids)}"
        self.pins[request_id] = {"cid": body["cid"], "name": body["name"], "states": list(self.states)}
        return web.json_response(self._shown(request_id), status=202)

    async def _list(self, request):
        wanted = (request.query["cid"], request.query["name"])
        found = [key for key, row in self.pins.items() if (row["cid"], row["name"]) == wanted]
        rows = [self._shown(key) for key in found]
        return web.json_response({"count": len(rows), "results": rows})

    async def _get(self, request):
        if request.match_info["id"] not in self.pins:
            return _problem(404, "NOT_FOUND")
        return web.json_response(self._shown(request.match_info["id"]))

    async def _delete(self, request):
        if self.pins.pop(request.match_info["id"], None) is None:
            return _problem(404, "NOT_FOUND")
        return web.Response(status=202)


class FakePinata(FakeService):
    """Pinata's API, version 3: uploads, list and delete."""

    def __init__(self):
        super().__init__()
        self.files, self._ids = {}, count(1)

    def application(self):
        app = web.Application(client_max_size=2**27)
        app.router.add_post("/v3/files", self._upload)
        app.router.add_get("/v3/files/public", self._list)
        app.router.add_delete("/v3/files/public/{id}", self._delete)
        return app

    def kept(self):
        return sorted(row["cid"] for row in self.files.values())

    async def _upload(self, request):
        form = await request.post()
        content = form["file"].file.read()
        self.received += content + form["name"].encode()
        if form["network"] != "public" or form["cid_version"] != "v1":
            return web.json_response({"error": "Invalid request format."}, status=400)
        cid = OTHER_CID if self.is_wrong else str(content_cid(content))
        for row in self.files.values():
            if row["cid"] == cid:
                return web.json_response({"data": row | {"is_duplicate": True}})
        row = {"id": f"file-{next(self._ids)}", "name": form["name"], "cid": cid, "size": len(content)}
        self.files[row["id"]] = row
        return web.json_response({"data": row})

    async def _list(self, request):
        rows = [
            row
            for row in self.files.values()
            if request.query["name"] in row["name"] and row["cid"] == request.query["cid"]
        ]
        return web.json_response({"data": {"files": rows, "next_page_token": ""}})

    async def _delete(self, request):
        if self.files.pop(request.match_info["id"], None) is None:
            return _problem(404, "NOT_FOUND")
        return web.json_response({"data": None})


def _problem(status, reason):
    return web.json_response({"error": {"reason": reason}}, status=status)
