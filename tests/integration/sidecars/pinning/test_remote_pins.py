"""Pins at services: every service gets them, each fails for itself, and what is let go of leaves all."""

from __future__ import annotations

from uuid import uuid4

from tests.fixtures.pin_sites import Site, receipt


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
