"""A site that pins into a folder of its own, and every service it may have."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from sidecars.web3.pinning.kubo import KuboBackend
from sidecars.web3.pinning.pinata import PinataBackend
from sidecars.web3.pinning.pinning_service import PinningServiceBackend
from tests.fakes.pin_services import FakeKubo, FakePinata, FakePinningService
from tests.fixtures.pin_sites import Site


@pytest.fixture
def threads():
    """The threads of the store."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def site(journal, kek, tmp_path, threads):
    """A ``Site`` without services."""
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
