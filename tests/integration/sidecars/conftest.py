"""The journal of the sidecar on a real PostgreSQL, as its own role."""

from __future__ import annotations

import base64

import pytest


@pytest.fixture
async def journal(database, postgres_urls):
    """An open ``Journal`` on emptied tables, as the role ``cl_web3``."""
    from sidecars.web3.journal.pool import Journal

    opened = Journal(postgres_urls.web3)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def kek():
    """A ``Kek`` of this test."""
    from sidecars.web3.sealing import Kek

    return Kek(base64.b64encode(bytes(range(7, 39))).decode())
