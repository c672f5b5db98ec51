"""A tenant's chain, the services around it, and hands that reach past every guard."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text

from cohortlens.audit.checkpoints import Checkpoints
from cohortlens.audit.exports import AuditExports
from cohortlens.audit.models import Actor
from cohortlens.audit.ports import Signature
from cohortlens.audit.service import AuditService
from cohortlens.audit.trail import AuditTrail

SOMEONE = Actor("user", "01930000-0000-7000-8000-000000000001", request_id="r-1", address="192.0.2.77")


class TestSigner:
    """A ``CheckpointSigner`` with one key in memory."""

    __test__ = False

    def __init__(self) -> None:
        self.private = Ed25519PrivateKey.generate()

    async def sign(self, message: bytes) -> Signature:
        return Signature("test-key", self.private.sign(message))

    async def public_keys(self) -> Mapping[str, bytes]:
        return {"test-key": self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)}


@pytest.fixture
def append(database):
    """Append ``count`` rows to a tenant's chain, each in its own transaction; answers the last place."""

    async def append(tenant_id, count=1, action="customers.customer.updated", **details):
        for number in range(count):
            async with database.tenant_transaction(tenant_id) as tx:
                await AuditTrail(tx).append(
                    SOMEONE, action, resource=f"customers/{number}", details={"number": number, **details}
                )
        async with database.tenant_transaction(tenant_id) as tx:
            return await tx.scalar(text("SELECT seq FROM audit_heads"))

    return append


@pytest.fixture
def signer():
    return TestSigner()


@pytest.fixture
def log(database, signer):
    return AuditService(database, signer)


@pytest.fixture
def checkpoints(database, signer, tmp_path):
    return Checkpoints(database, signer, tmp_path)


@pytest.fixture
def exports(database, signer, checkpoints, tmp_path):
    return AuditExports(database, signer, checkpoints, tmp_path)


@pytest.fixture
async def attacker(superuser):
    """A superuser who has switched every trigger off."""
    await superuser.execute("SET session_replication_role = replica")
    yield superuser
    await superuser.execute("SET session_replication_role = DEFAULT")
