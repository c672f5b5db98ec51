"""A runner inside the test's own process, and ways to wait for what it does."""

import asyncio
import contextlib

import pytest

from cohortlens.core.outbox import Outbox
from cohortlens.core.paging import PageTokens
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.service import CustomersService
from cohortlens.jobs.runner import Runner
from tests.fixtures import waiting
from tests.integration.jobs.worker_process import JobServices


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def services(database, redis_client, spool):
    return JobServices(
        database,
        redis_client,
        CustomersService(database, spool, PageTokens(b"k" * 32), TenantKeys(b"k" * 32)),
    )


@pytest.fixture
def running(services):
    """``async with running(handlers, ...)``: a runner at work; leaving stops it and waits for its end."""

    @contextlib.asynccontextmanager
    async def start(handlers, **options):
        stop = asyncio.Event()
        options.setdefault("tasks", ())
        task = asyncio.create_task(Runner(services, handlers, "runner", **options).run(stop))
        try:
            yield task
        finally:
            stop.set()
            await asyncio.wait_for(task, 60)

    return start


@pytest.fixture
def record(database, tenants):
    """Record an event of a topic."""

    async def write(topic, key="k", **payload):
        async with database.tenant_transaction(tenants[0].tenant_id) as tx:
            return await Outbox(tx).record(topic, key, payload)

    return write


@pytest.fixture
def eventually():
    """Wait with a bound that leases and back-offs fit into."""
    return lambda condition, what: waiting.eventually(condition, 60.0, what)
