"""Pins in the journal, in the store and at services: made once, opened by their owner, gone when let go of."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from sidecars.web3.journal.pins import PinRows
from sidecars.web3.pinning.blockstore import Blockstore
from sidecars.web3.pinning.cid import parse_cid
from sidecars.web3.pinning.errors import (
    ContentNotFound,
    PinContentCorrupt,
    PinIdReused,
    PinKindRefused,
    PinStoreBusy,
    PinTooLarge,
)
from sidecars.web3.pinning.kubo import KuboBackend
from sidecars.web3.pinning.local import LocalStore
from sidecars.web3.pinning.pinata import PinataBackend
from sidecars.web3.pinning.pinner import Pinner
from sidecars.web3.pinning.pinning_service import PinningServiceBackend
from sidecars.web3.pinning.remotes import Remotes
from sidecars.web3.pinning.unixfs import content_cid
from sidecars.web3.sealing import Kek, KekMismatch
from tests.fakes.pin_services import FakeKubo, FakePinata, FakePinningService

REPORT = b"Ada Lovelace, ada@example.org, bought tea " * 20_000
DID = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
PROOF = {
    "type": "DataIntegrityProof",
    "cryptosuite": "eddsa-jcs-2022",
    "verificationMethod": f"{DID}#z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
    "proofPurpose": "assertionMethod",
    "proofValue": "z" + "3" * 87,
}


def receipt(**members):
    """A signed receipt as it is pinned."""
    made = {
        "type": "ConsentReceiptPin",
        "version": 1,
        "revision": 1,
        "hour": "2026-01-31T12:00:00Z",
        "receipt": "ab" * 32,
        "credential": "cd" * 32,
        "reward": "paid",
        "state": "active",
        "issuer": DID,
        "proof": PROOF,
    }
    return json.dumps(made | members).encode()


async def _pieces(content, size=100_000):
    for start in range(0, len(content), size):
        yield content[start : start + size]


class Site:
    """A store, its pinner and the services, all on one journal."""

    def __init__(self, journal, kek, folder, threads, services=()):
        self.store = Blockstore(folder, free_bytes_least=0)
        self.local = LocalStore(self.store, threads)
        self.rows = PinRows(journal)
        self.remotes = Remotes(self.rows, self.local, services)
        self.pinner = Pinner(self.local, self.rows, kek, self.remotes.names)

    async def pin(self, tenant, content=REPORT, kind="REPORT", pin_id=None, size=None):
        size = len(content) if size is None else size
        return await self.pinner.pin(tenant, pin_id or uuid4(), kind, size, _pieces(content))

    async def read(self, tenant, **key):
        return b"".join([piece async for piece in self.pinner.content(tenant, **key)])

    async def work(self, journal):
        """Work at the services until nothing is due any more, waits between tries left out."""
        for _ in range(12):
            async with journal.transaction(None) as tx:
                await tx.execute(
                    "UPDATE pin_backend SET next_at = now() WHERE state IN ('PENDING', 'REMOVING')"
                )
            if not await self.remotes.step():
                return

    async def states(self, row):
        stored = await self.rows.find(row.tenant_id, row.pin_id)
        return {state.backend: (state.state, state.reason) for state in stored.backends}


@pytest.fixture
def threads():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def site(journal, kek, tmp_path, threads):
    return Site(journal, kek, tmp_path / "ipfs", threads)


@pytest.fixture
async def services(tmp_path):
    """Every service at once, with its backend."""
    fakes = [FakeKubo(tmp_path / "kubo"), FakePinningService(), FakePinata()]
    for fake in fakes:
        await fake.start()
    backends = [
        KuboBackend(fakes[0].url, fakes[0].auth),
        PinningServiceBackend(fakes[1].url, "sesame"),
        PinataBackend("sesame", fakes[2].url),
    ]
    yield fakes, backends
    for one in backends:
        await one.close()
    for fake in fakes:
        await fake.stop()


async def test_a_receipt_is_pinned_in_clear_under_the_cid_of_its_bytes(site):
    tenant = uuid4()
    row = await site.pin(tenant, receipt(), "RECEIPT")
    assert row.cid == str(content_cid(receipt()))
    assert await site.read(tenant, pin_id=row.pin_id) == receipt()
    assert await site.read(uuid4(), cid=row.cid) == receipt()


async def test_a_report_is_sealed_and_opens_for_its_own_tenant_only(site):
    tenant = uuid4()
    row = await site.pin(tenant)
    assert row.size_bytes == len(REPORT) + 32
    assert await site.read(tenant, pin_id=row.pin_id) == REPORT
    assert await site.read(tenant, cid=row.cid) == REPORT
    for key in ({"pin_id": row.pin_id}, {"cid": row.cid}):
        with pytest.raises(ContentNotFound):
            await site.read(uuid4(), **key)
    blocks = b"".join(path.read_bytes() for path in site.store.folder.glob("blocks/*/*"))
    assert b"Ada" not in blocks


async def test_two_pins_of_one_report_have_nothing_in_common(site):
    tenant = uuid4()
    first, second = await site.pin(tenant), await site.pin(tenant)
    assert first.cid != second.cid
    assert first.content_sha256 != second.content_sha256
    assert first.content_sha256 != hashlib.sha256(REPORT).digest()


@pytest.mark.parametrize(("kind", "content"), [("REPORT", REPORT), ("RECEIPT", receipt())])
async def test_the_same_pin_again_answers_the_same_and_other_content_is_refused(site, kind, content):
    tenant, pin_id = uuid4(), uuid4()
    first = await site.pin(tenant, content, kind, pin_id)
    blocks = site.store.size()
    assert await site.pin(tenant, content, kind, pin_id) == first
    assert site.store.size() == blocks
    other = receipt(hour="2026-01-31T13:00:00Z")
    with pytest.raises(PinIdReused):
        await site.pin(tenant, other, kind, pin_id)
    with pytest.raises(PinIdReused):
        await site.pin(tenant, content, "ARTIFACT", pin_id)
    await site.local.collect()
    assert await site.read(tenant, pin_id=pin_id) == content


async def test_two_tenants_may_use_one_identifier(site):
    pin_id, one, two = uuid4(), uuid4(), uuid4()
    await site.pin(one, b"first", "REPORT", pin_id)
    await site.pin(two, b"second", "REPORT", pin_id)
    assert await site.read(one, pin_id=pin_id) == b"first"
    assert await site.read(two, pin_id=pin_id) == b"second"


async def test_ten_calls_for_one_pin_at_once_make_one(site):
    tenant, pin_id = uuid4(), uuid4()

    async def once():
        for _ in range(20):
            try:
                return await site.pin(tenant, REPORT, "REPORT", pin_id)
            except PinStoreBusy:
                continue
        raise AssertionError("never answered")

    rows = await asyncio.gather(*(once() for _ in range(10)))
    assert len({row.cid for row in rows}) == 1
    await site.local.collect()
    assert await site.read(tenant, pin_id=pin_id) == REPORT
    assert len(site.store.pins()) == 1


async def test_what_is_let_go_of_is_unreadable_at_once_and_stays_gone(site, journal):
    tenant = uuid4()
    row = await site.pin(tenant)
    await site.pinner.unpin(tenant, row.pin_id)
    for key in ({"pin_id": row.pin_id}, {"cid": row.cid}):
        with pytest.raises(ContentNotFound):
            await site.read(tenant, **key)
    await site.local.collect()
    assert site.store.size() == (0, 0)
    async with journal.transaction(tenant) as tx:
        assert await tx.fetchval("SELECT sealed_key FROM pin WHERE pin_id = $1", row.pin_id) is None
    with pytest.raises(PinIdReused):
        await site.pin(tenant, REPORT, "REPORT", row.pin_id)
    await site.pinner.unpin(tenant, row.pin_id)
    await site.pinner.unpin(tenant, uuid4())


async def test_another_tenant_lets_go_of_nothing(site):
    tenant = uuid4()
    row = await site.pin(tenant)
    await site.pinner.unpin(uuid4(), row.pin_id)
    assert await site.read(tenant, pin_id=row.pin_id) == REPORT


async def test_a_sealed_block_that_was_altered_is_never_opened(site):
    tenant = uuid4()
    row = await site.pin(tenant)
    block = max(site.store.folder.glob("blocks/*/*"), key=lambda path: path.stat().st_size)
    block.write_bytes(os.urandom(block.stat().st_size))
    pieces = site.pinner.content(tenant, pin_id=row.pin_id)
    with pytest.raises(PinContentCorrupt):
        await anext(pieces)


@pytest.mark.parametrize(("size", "announced"), [(10, 11), (10, 9), (0, 1)])
async def test_other_bytes_than_announced_are_refused(site, size, announced):
    with pytest.raises(PinTooLarge):
        await site.pin(uuid4(), b"x" * size, size=announced)
    await site.local.collect()
    assert site.store.size() == (0, 0)


@pytest.mark.parametrize(
    ("kind", "size"), [("REPORT", 2**26 + 1), ("RECEIPT", 65_537), ("STATUS_LIST", 2**22 + 1)]
)
async def test_more_than_a_kind_may_have_is_refused_before_it_comes(site, kind, size):
    with pytest.raises(PinTooLarge):
        await site.pin(uuid4(), b"", kind, size=size)


async def test_public_content_without_its_form_leaves_nothing_behind(site):
    with pytest.raises(PinKindRefused):
        await site.pin(uuid4(), receipt(note="for Ada"), "RECEIPT")
    assert site.store.size() == (0, 0)


async def test_files_of_pins_without_a_row_are_tidied_and_young_ones_are_left(site):
    tenant = uuid4()
    row = await site.pin(tenant)
    orphan = f"{uuid4().hex}-{uuid4().hex}-0123456789"
    site.store.pin(orphan, parse_cid(row.cid))
    site.store.pin("rpc-of-somebody", parse_cid(row.cid))
    assert await site.pinner.reconcile() == 0
    os.utime(site.store.folder / "pins" / orphan, (1, 1))
    for path in (site.store.folder / "pins").iterdir():
        os.utime(path, (1, 1))
    assert await site.pinner.reconcile() == 1
    assert orphan not in site.store.pins()
    assert len(site.store.pins()) == 2


async def test_every_service_gets_the_pin_and_lets_go_of_it(journal, kek, tmp_path, threads, services):
    fakes, backends = services
    site = Site(journal, kek, tmp_path / "ipfs", threads, backends)
    tenant = uuid4()
    row = await site.pin(tenant)
    assert set((await site.states(row)).values()) == {("PENDING", "")}
    await site.work(journal)
    assert set((await site.states(row)).values()) == {("PINNED", "")}
    assert [fake.kept() for fake in fakes] == [[row.cid]] * 3
    for fake in fakes:
        # Neither content nor tenant leaves in clear.
        assert b"Ada" not in bytes(fake.received)
        assert tenant.hex.encode() not in bytes(fake.received)
        assert str(tenant).encode() not in bytes(fake.received)
    await site.pinner.unpin(tenant, row.pin_id)
    await site.work(journal)
    assert {state for state, _ in (await site.states(row)).values()} == {"REMOVED"}
    assert [fake.kept() for fake in fakes] == [[]] * 3


async def test_the_last_pin_of_a_content_is_the_one_that_services_lose(
    journal, kek, tmp_path, threads, services
):
    fakes, backends = services
    site = Site(journal, kek, tmp_path / "ipfs", threads, backends)
    one, two = await site.pin(uuid4(), receipt(), "RECEIPT"), await site.pin(uuid4(), receipt(), "RECEIPT")
    await site.work(journal)
    await site.pinner.unpin(one.tenant_id, one.pin_id)
    await site.work(journal)
    assert [fake.kept() for fake in fakes] == [[one.cid]] * 3
    assert await site.read(two.tenant_id, pin_id=two.pin_id) == receipt()
    await site.pinner.unpin(two.tenant_id, two.pin_id)
    await site.work(journal)
    assert [fake.kept() for fake in fakes] == [[]] * 3


async def test_a_service_that_is_down_delays_its_own_part_only(journal, kek, tmp_path, threads, services):
    fakes, backends = services
    site = Site(journal, kek, tmp_path / "ipfs", threads, backends)
    fakes[2].faults = [503] * 100
    row = await site.pin(uuid4())
    await site.work(journal)
    states = await site.states(row)
    assert states["kubo"] == states["pinning-service"] == ("PINNED", "")
    assert states["pinata"] == ("PENDING", "PIN_BACKEND_UNAVAILABLE")
    assert site.remotes.faults == {"pinata": "PIN_BACKEND_UNAVAILABLE"}
    fakes[2].faults = []
    await site.work(journal)
    assert (await site.states(row))["pinata"] == ("PINNED", "")
    assert site.remotes.faults == {}


async def test_refused_credentials_are_not_tried_again_until_the_next_start(
    journal, kek, tmp_path, threads, services
):
    fakes, backends = services
    site = Site(journal, kek, tmp_path / "ipfs", threads, backends)
    fakes[2].faults = [401]
    row = await site.pin(uuid4())
    await site.work(journal)
    assert (await site.states(row))["pinata"] == ("FAILED", "PIN_BACKEND_DENIED")
    calls = len(fakes[2].seen)
    await site.work(journal)
    assert len(fakes[2].seen) == calls
    assert await site.rows.retry_denied(site.remotes.names, 60.0) == 1
    await site.work(journal)
    assert (await site.states(row))["pinata"] == ("PINNED", "")


async def test_another_cid_of_a_service_fails_its_part_and_leaves_nothing_there(
    journal, kek, tmp_path, threads, services
):
    fakes, backends = services
    site = Site(journal, kek, tmp_path / "ipfs", threads, backends)
    for fake in fakes:
        fake.is_wrong = True
    row = await site.pin(uuid4())
    await site.work(journal)
    assert set((await site.states(row)).values()) == {("FAILED", "PIN_CID_MISMATCH")}
    assert [fake.kept() for fake in fakes] == [[]] * 3


async def test_a_week_of_failures_is_enough_and_a_removal_is_never_given_up(
    journal, kek, tmp_path, threads, services
):
    fakes, backends = services
    site = Site(journal, kek, tmp_path / "ipfs", threads, backends[2:])
    row, other = await site.pin(uuid4()), await site.pin(uuid4())
    await site.work(journal)
    fakes[2].faults = [500] * 100
    late = await site.pin(uuid4())
    async with journal.transaction(None) as tx:
        await tx.execute("UPDATE pin SET created_at = now() - interval '8 days'")
    await site.pinner.unpin(row.tenant_id, row.pin_id)
    await site.work(journal)
    assert (await site.states(late))["pinata"] == ("FAILED", "PIN_BACKEND_UNAVAILABLE")
    assert (await site.states(row))["pinata"][0] == "REMOVING"
    fakes[2].faults = []
    await site.work(journal)
    assert fakes[2].kept() == [other.cid]


async def test_a_pin_let_go_of_while_it_is_sent_does_not_stay_at_the_service(
    journal, kek, tmp_path, threads, services
):
    fakes, backends = services
    site = Site(journal, kek, tmp_path / "ipfs", threads, backends[2:])
    row = await site.pin(uuid4())
    keep = backends[2].keep

    async def slow(content, remote_id):
        # The removal is over before the upload ends.
        await site.pinner.unpin(row.tenant_id, row.pin_id)
        return await keep(content, remote_id)

    backends[2].keep = slow
    await site.remotes.step()
    assert fakes[2].kept() == [row.cid]
    await site.work(journal)
    assert fakes[2].kept() == []
    assert (await site.states(row))["pinata"][0] == "REMOVED"


async def test_keys_move_under_a_new_kek_and_a_foreign_kek_stops_the_start(
    site, journal, kek, tmp_path, threads
):
    tenant = uuid4()
    row, gone = await site.pin(tenant), await site.pin(tenant)
    await site.pinner.unpin(tenant, gone.pin_id)
    old = base64.b64encode(bytes(range(7, 39))).decode()
    fresh = base64.b64encode(bytes(range(50, 82))).decode()
    moved = Site(journal, Kek(fresh, old), tmp_path / "ipfs", threads)
    assert await moved.pinner.check_sealed() == 1
    assert await moved.pinner.check_sealed() == 0
    alone = Site(journal, Kek(fresh), tmp_path / "ipfs", threads)
    assert await alone.pinner.check_sealed() == 0
    assert await alone.read(tenant, pin_id=row.pin_id) == REPORT
    with pytest.raises(KekMismatch):
        await site.pinner.check_sealed()
