"""The embedded store driven by ``ipfshttpclient``, as a real node would be, and by what must not drive it."""

from __future__ import annotations

import asyncio
import io
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import ipfshttpclient
import pytest
import requests

from sidecars.web3.devchain.ipfs import IpfsFront
from sidecars.web3.pinning.blockstore import Blockstore
from sidecars.web3.pinning.local import LocalStore

OLD_HELLO = "QmWfVY9y3xjsixTgbd9AorQxH7VtMpzfx2HaWtsoUYecaX"
HELLO = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"
MILLION = "bafybeid7t3y5axz3xf67jmp25iriixbuoja7c4yzz77ee5qp62njmcxk5e"


class Front:
    """A front of its own, and a client that works in a thread."""

    def __init__(self, front, store, client):
        self.url, self.store, self._client = front.url, store, client

    async def __call__(self, work):
        return await asyncio.to_thread(work, self._client)

    async def raw(self, path, method="POST", headers=None):
        request = urllib.request.Request(self.url + path, method=method, headers=headers or {})

        def ask():
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()

        return await asyncio.to_thread(ask)


@pytest.fixture
async def ipfs(tmp_path):
    store = Blockstore(tmp_path / "ipfs", free_bytes_least=0)
    with ThreadPoolExecutor(4) as threads:
        front = IpfsFront(LocalStore(store, threads))
        url = await front.start()
        port = url.rpartition(":")[2]
        client = await asyncio.to_thread(
            ipfshttpclient.connect, f"/ip4/127.0.0.1/tcp/{port}/http", session=True
        )
        yield Front(front, store, client)
        client.close()
        await front.close()


def _million():
    return io.BytesIO(b"a" * 1_000_000)


async def test_it_adds_files_under_the_cids_of_kubo(ipfs):
    assert await ipfs(lambda client: client.add_bytes(b"hello")) == OLD_HELLO
    added = await ipfs(
        lambda client: client.add(_million(), cid_version=1, raw_leaves=True, chunker="size-262144")
    )
    assert added["Hash"] == MILLION
    assert int(added["Size"]) > 1_000_000


async def test_it_reads_whole_files_and_ranges(ipfs):
    await ipfs(lambda client: client.add(_million(), cid_version=1, raw_leaves=True))
    assert await ipfs(lambda client: client.cat(MILLION)) == b"a" * 1_000_000
    assert await ipfs(lambda client: client.cat(MILLION, offset=262_140, length=10)) == b"a" * 10
    assert await ipfs(lambda client: client.cat(f"/ipfs/{MILLION}", offset=999_999)) == b"a"


async def test_pins_are_listed_and_removed_and_collected(ipfs):
    await ipfs(lambda client: client.add(_million(), cid_version=1, raw_leaves=True))
    listed = await ipfs(lambda client: client.pin.ls())
    assert listed["Keys"][MILLION]["Type"] == "recursive"
    assert sorted({row["Type"] for row in listed["Keys"].values()}) == ["indirect", "recursive"]
    assert await ipfs(lambda client: client.pin.rm(MILLION)) == {"Pins": [MILLION]}
    with pytest.raises(ipfshttpclient.exceptions.ErrorResponse, match="not pinned"):
        await ipfs(lambda client: client.pin.ls(MILLION))
    removed = await ipfs(lambda client: client.repo.gc())
    assert MILLION in [row["Key"]["/"] for row in removed]
    with pytest.raises(ipfshttpclient.exceptions.ErrorResponse, match="does not keep"):
        await ipfs(lambda client: client.cat(MILLION))
    assert (await ipfs(lambda client: client.repo.stat()))["NumObjects"] == 0


async def test_only_hash_keeps_nothing_and_an_unpinned_add_can_be_pinned(ipfs):
    added = await ipfs(lambda client: client.add(_million(), only_hash=True, cid_version=1, raw_leaves=True))
    assert added["Hash"] == MILLION
    assert ipfs.store.size() == (0, 0)
    with pytest.raises(ipfshttpclient.exceptions.ErrorResponse):
        await ipfs(lambda client: client.pin.add(MILLION))
    await ipfs(lambda client: client.add(_million(), pin=False, cid_version=1, raw_leaves=True))
    assert (await ipfs(lambda client: client.pin.ls()))["Keys"] == {}
    assert await ipfs(lambda client: client.pin.add(MILLION)) == {"Pins": [MILLION]}
    await ipfs(lambda client: client.repo.gc())
    assert await ipfs(lambda client: client.cat(MILLION, length=3)) == b"aaa"


async def test_blocks_go_in_and_out_as_they_are(ipfs):
    put = await ipfs(lambda client: client.block.put(io.BytesIO(b"hello"), opts={"cid-codec": "raw"}))
    assert put == {"Key": HELLO, "Size": 5}
    assert await ipfs(lambda client: client.block.get(HELLO)) == b"hello"
    assert await ipfs(lambda client: client.block.stat(HELLO)) == {"Key": HELLO, "Size": 5}
    assert await ipfs.raw(f"/ipfs/{HELLO}?format=raw", "GET") == (200, b"hello")
    assert await ipfs.raw(f"/ipfs/{HELLO}", "GET") == (200, b"hello")


async def test_it_says_what_it_is(ipfs):
    assert (await ipfs(lambda client: client.version()))["Version"] == "0.8.0"
    assert (await ipfs(lambda client: client.id()))["AgentVersion"] == "cohortlens-blockstore"


@pytest.mark.parametrize("header", ["Origin", "Referer"])
async def test_a_web_page_commands_nothing(ipfs, header):
    status, _ = await ipfs.raw("/api/v0/repo/gc", headers={header: "https://shop.example/"})
    assert status == 403


async def test_a_name_that_was_pointed_at_loopback_commands_and_reads_nothing(ipfs):
    for path, method in (("/api/v0/version", "POST"), (f"/ipfs/{HELLO}", "GET")):
        status, _ = await ipfs.raw(path, method, headers={"Host": "rebound.example:80"})
        assert status == 403


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/api/v0/version", "GET", 405),
        ("/api/v0/config/show", "POST", 404),
        ("/api/v0/cat", "POST", 400),
        ("/api/v0/cat?arg=nonsense", "POST", 400),
        (f"/api/v0/cat?arg={HELLO}&offset=-1", "POST", 400),
        (f"/api/v0/cat?arg={HELLO}", "POST", 500),
        ("/api/v0/add", "POST", 400),
        ("/api/v0/add?chunker=rabin", "POST", 400),
        ("/api/v0/add?chunker=size-1048577", "POST", 400),
        ("/api/v0/add?cid-version=2", "POST", 400),
        ("/api/v0/add?wrap-with-directory=true", "POST", 400),
        ("/api/v0/add?hash=blake2b-256", "POST", 400),
        ("/api/v0/pin/ls?type=some", "POST", 400),
    ],
)
async def test_what_is_not_understood_is_refused_in_kubos_form(ipfs, path, method, status):
    answered, body = await ipfs.raw(path, method)
    assert answered == status
    if status in (400, 500):
        assert sorted(json.loads(body)) == ["Code", "Message", "Type"]


async def test_a_file_with_a_damaged_end_breaks_off_and_is_never_whole(ipfs):
    await ipfs(lambda client: client.add(_million(), cid_version=1, raw_leaves=True))
    leaves = sorted(ipfs.store.folder.glob("blocks/*/bafkrei*"), key=lambda path: path.stat().st_size)
    leaves[0].write_bytes(b"b" * leaves[0].stat().st_size)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        await ipfs(lambda client: client.cat(MILLION))
