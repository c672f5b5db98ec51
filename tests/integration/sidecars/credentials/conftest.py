"""The credentials of a sidecar on a real journal, asked through its servicer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest


class Desk:
    """Asks the servicer as the control plane does.

    Args:
        area: The open area.
    """

    def __init__(self, area):
        from sidecars.web3.servicers.credentials import CredentialServicer

        self.area = area
        self.servicer = CredentialServicer(area)

    async def ask(self, method, **fields):
        """Call an RPC by its name."""
        from cohortlens.internal.v1 import web3_credentials_pb2 as pb

        return await getattr(self.servicer, method)(getattr(pb, f"{method}Request")(**fields), None)

    async def verify(self, body, **fields):
        """Reasons against a credential, empty when it is accepted."""
        found = await self.ask("VerifyCredential", credential_json=body, **fields)
        assert found.verified == (not found.refusals)
        return [one.reason for one in found.refusals]


def settings(**given):
    """What the area reads of the settings; the packages of npm are those of set-up."""
    values = {
        "did_web_host": "",
        "did_web_hosts": frozenset(),
        "status_hosts": frozenset(),
        "environment": "test",
        "public_url": "https://consent.example",
        "node_modules": Path(__file__).resolve().parents[4] / "deploy" / "node" / "node_modules",
    }
    return SimpleNamespace(**values | given)


@pytest.fixture
async def open_desk(journal, kek):
    """Opens desks on the journal, each a sidecar of its own, and closes them."""
    from sidecars.web3.credentials.area import open_credentials

    areas = []

    async def opened(sealing=kek, **given):
        areas.append(await open_credentials(settings(**given), journal, sealing))
        return Desk(areas[-1])

    yield opened
    for area in areas:
        await area.close()


@pytest.fixture
async def desk(open_desk):
    """One desk with issuers of did:key."""
    return await open_desk()
