"""``make bench-credentials``: credentials issued, verified and revoked a second, with the journal.

One process and one event loop, as the sidecar runs; PostgreSQL of its own in a folder that goes with it.
Processor time stands beside wall time, because other work of the machine lengthens only the latter.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID, uuid4

from cohortlens.cli.output import table
from cohortlens.core.clock import now
from cohortlens.core.config import Secret, Url
from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.internal.v1 import web3_credentials_pb2 as pb
from cohortlens.migrations import runner
from sidecars.web3.config import Web3Config
from sidecars.web3.credentials.area import CredentialsArea, open_credentials
from sidecars.web3.journal.pool import Journal
from sidecars.web3.sealing import Kek
from sidecars.web3.servicers.credentials import CredentialServicer

SECONDS = 4.0
BATCH = 200
HEADER = ["what", "of", "a second", "bar", "p50 ms", "p95 ms", "processor ms each"]
SUITES = {"rdfc": pb.CRYPTOSUITE_EDDSA_RDFC_2022, "jcs": pb.CRYPTOSUITE_EDDSA_JCS_2022}
_CLAIMS = {
    "purpose": "profiling",
    "purposeVersion": 1,
    "activities": ["profiling.predict", "profiling.segment", "profiling.explain"],
    "grantedAt": "2026-01-31T12:00:00Z",
    "noticeDigest": "ab" * 32,
    "recordCommitment": "cd" * 32,
}


async def issue(servicer: CredentialServicer, tenant: UUID, suite: str, count: int) -> list[bytes]:
    """Issue credentials for fresh sources in one operation."""
    items = [
        pb.CredentialItem(
            source_id=uuid4().bytes,
            kind=pb.CREDENTIAL_KIND_CONSENT,
            claims_json=json.dumps(_CLAIMS).encode(),
            suite=SUITES[suite],
            subject_id=uuid4().bytes,
        )
        for _ in range(count)
    ]
    request = pb.IssueCredentialsRequest(tenant_id=tenant.bytes, operation_id=uuid4().bytes, items=items)
    answer = await servicer.IssueCredentials(request, None)
    return [one.credential_json for one in answer.credentials]


async def measured(
    name: str, of: str, bar: str, each: int, step: Callable[[], Awaitable[object]]
) -> list[str]:
    """Repeat a step for ``SECONDS`` and tell a row of it; ``each`` things are done by one step."""
    await step()
    took: list[float] = []
    used, begun = time.process_time(), time.perf_counter()
    while (since := time.perf_counter()) < begun + SECONDS:
        await step()
        took.append((time.perf_counter() - since) * 1000)
    wall, processor = time.perf_counter() - begun, time.process_time() - used
    took.sort()
    done = len(took) * each
    middle, late = took[len(took) // 2], took[int(len(took) * 0.95)]
    return [
        name, of, f"{done / wall:,.0f}", bar, f"{middle:.2f}", f"{late:.2f}", f"{processor / done * 1000:.3f}"
    ]  # fmt: skip


async def rows_of(area: CredentialsArea) -> list[list[str]]:
    """Every measurement."""
    servicer, found = CredentialServicer(area), []
    tenants = iter(uuid4, None)
    for suite, batch, bar in (
        ("jcs", BATCH, "2,000"),
        ("jcs", 1, ""),
        ("rdfc", BATCH, ""),
        ("rdfc", 1, "60"),
    ):
        tenant = next(tenants)
        found.append(
            await measured(
                f"issue {suite}, journal", f"batches of {batch}", bar, batch,
                lambda s=suite, b=batch, t=tenant: issue(servicer, t, s, b),  # type: ignore[misc]
            )
        )  # fmt: skip
    for suite, bar in (("jcs", "1,000"), ("rdfc", "120")):
        (body,) = await issue(servicer, next(tenants), suite, 1)
        for with_status in (False, True):
            request = pb.VerifyCredentialRequest(credential_json=body, skip_status=not with_status)

            async def verify(request: pb.VerifyCredentialRequest = request) -> None:
                answer = await servicer.VerifyCredential(request, None)
                assert answer.verified, answer

            told = "status read" if with_status else "without status"
            found.append(await measured(f"verify {suite}", told, bar, 1, verify))
    return found


async def measure(dsn: str, folder: Path) -> None:
    """Open the credentials of a sidecar on a fresh journal and print the table."""
    kek = base64.b64encode(os.urandom(32)).decode()
    config = Web3Config(
        dsn=Url(dsn), kek=Secret(kek), data_dir=folder, public_url=Url("https://consent.example")
    )
    journal = Journal(dsn)
    await journal.open()
    area = await open_credentials(config, journal, Kek(kek))
    publishing = asyncio.create_task(area.run())
    begun = now()
    sys.stdout.write(table(await rows_of(area), HEADER, frozenset(range(2, len(HEADER)))) + "\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"memory at most {peak:.0f} MiB; measured {begun:%Y-%m-%d %H:%M} UTC\n")
    publishing.cancel()
    await area.close()
    await journal.close()


def main() -> None:
    """Measure on a PostgreSQL of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = EmbeddedPostgres(folder / "data", 0, ephemeral=True)
        urls = server.start()
        try:
            runner.upgrade(urls.admin)
            asyncio.run(measure(urls.web3, folder))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
