"""``kill -9`` of a real jobs process while it works on an erasure: the next one ends it, once, with a right manifest."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from pathlib import Path

import pytest

from cohortlens.bootstrap.rights import open_rights
from cohortlens.consent.data_requests.models import DataRequestType
from cohortlens.core.paging import PageTokens
from cohortlens.core.sealing import Keyring
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.service import CustomersService
from tests.fixtures.people import MARK, file_traces, marked_person, traces
from tests.fixtures.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
KEK = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
POINTS = ("data_request.batches.erased", "data_request.customers.erased")


@pytest.fixture
async def jobs(postgres_urls, redis_url, tmp_path):
    """Starts ``python -m cohortlens.jobs``, to die at a point if one is named."""
    running = []

    async def start(point: str = "") -> asyncio.subprocess.Process:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COHORTLENS_")}
        environ |= {
            "COHORTLENS_ENV": "test",
            "COHORTLENS_FAILPOINT": point,
            "COHORTLENS_DATABASE_URL": postgres_urls.jobs,
            "COHORTLENS_REDIS_URL": redis_url,
            "COHORTLENS_KEK": KEK,
            "COHORTLENS_DATA_DIR": str(tmp_path),
            "COHORTLENS_OPS_PORT": "0",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cohortlens.jobs", cwd=ROOT, env=environ, stdout=asyncio.subprocess.DEVNULL
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_an_erasure_whose_process_is_killed_twice_ends_once_and_counts_what_was_there(
    database, redis_client, tenants, superuser, jobs, tmp_path
):
    tenant, root = tenants[0], tmp_path / "artifacts"
    root.mkdir()
    keys = TenantKeys(Keyring(base64.b64decode(KEK)))
    rights = open_rights(database, redis_client, keys, root)
    customers = CustomersService(
        database, tmp_path / "spool", PageTokens(b"k" * 32), keys, erased=rights.suppressions.erased
    )
    customer = await marked_person(database, customers, tenant, root)
    request = await rights.requests.create(
        tenant.context(), f"external:{MARK}", DataRequestType.ERASURE, channel="EMAIL", verification="seen"
    )
    await rights.requests.approve(tenant.context(), request.request_id)

    for point in POINTS:
        process = await jobs(point)
        assert await asyncio.wait_for(process.wait(), 60.0) == -signal.SIGKILL
        # What the dead process had claimed is free again after a while; here at once.
        await superuser.execute("UPDATE outbox_keys SET due_at = now()")
    await jobs()

    async def completed():
        found = await rights.requests.get(tenant.tenant_id, request.request_id)
        assert found.state != "FAILED", found
        return found if found.state == "COMPLETED" else None

    done = await eventually(completed, 60.0, "the end of the erasure")
    steps = {step.name: (step.rows_found, step.rows_erased) for step in done.steps}
    assert (steps["customers"], steps["analytics"], steps["batches"]) == ((7, 7), (2, 2), (1, 1))
    assert await traces(superuser, MARK, str(customer)) == {}
    assert file_traces(root, MARK, str(customer)) == []
    for action in ("consent.data_request.completed", "customers.customer.erased"):
        told = await superuser.fetchval("SELECT count(*) FROM audit_log WHERE action = $1", action)
        assert told == 1, action
