"""Pins in the journal and in the store: made once, opened by their owner, gone when let go of."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from uuid import uuid4

import pytest

from sidecars.web3.pinning.cid import parse_cid
from sidecars.web3.pinning.errors import (
    ContentNotFound,
    PinContentCorrupt,
    PinIdReused,
    PinKindRefused,
    PinStoreBusy,
    PinTooLarge,
)
from sidecars.web3.pinning.unixfs import content_cid
from sidecars.web3.sealing import Kek, KekMismatch
from tests.fixtures.pin_sites import REPORT, Site, receipt


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
