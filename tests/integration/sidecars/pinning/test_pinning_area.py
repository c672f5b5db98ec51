"""Pinning at work by itself: what is pinned reaches the service, what is let go of leaves store and service."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import pytest

from cohortlens.core.config import Secret, Url
from sidecars.web3.config import Web3Config
from sidecars.web3.pinning.area import open_pinning
from tests.fakes.pin_services import FakeKubo
from tests.fixtures.waiting import eventually


@asynccontextmanager
async def _running(config, journal, kek):
    area = await open_pinning(config, journal, kek)
    work = asyncio.create_task(area.run())
    try:
        yield area
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        await area.close()


@pytest.fixture
async def kubo(tmp_path):
    service = await FakeKubo(tmp_path / "kubo").start()
    yield service
    await service.stop()


async def _content():
    yield b"a report"


async def test_pins_travel_and_leave_without_being_asked_again(journal, kek, kubo, tmp_path):
    config = Web3Config(
        data=tmp_path, ipfs_backends="kubo", ipfs_url=Url(kubo.url), ipfs_auth=Secret(kubo.auth)
    )
    async with _running(config, journal, kek) as area:
        tenant, pin_id = uuid4(), uuid4()
        row = await area.pinner.pin(tenant, pin_id, "REPORT", 8, _content())
        await eventually(lambda: kubo.kept() == [row.cid])
        health = await area.health()
        assert (health.mode, health.status) == ("remote", "ok")
        assert kubo.url not in health.detail
        await area.pinner.unpin(tenant, pin_id)
        await eventually(lambda: kubo.kept() == [] and area.local.store.size() == (0, 0))


async def test_what_a_stopped_sidecar_left_open_goes_on_at_the_next_start(journal, kek, kubo, tmp_path):
    config = Web3Config(
        data=tmp_path, ipfs_backends="kubo", ipfs_url=Url(kubo.url), ipfs_auth=Secret(kubo.auth)
    )
    tenant, pin_id = uuid4(), uuid4()
    stopped = await open_pinning(config, journal, kek)
    row = await stopped.pinner.pin(tenant, pin_id, "REPORT", 8, _content())
    await stopped.close()
    assert kubo.kept() == []
    async with _running(config, journal, kek):
        await eventually(lambda: kubo.kept() == [row.cid])
