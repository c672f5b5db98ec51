"""Real servers for integration tests: started at first use, one of each per test process.

Imports stand inside the fixtures because the workers' environment, which lacks the database driver, loads
this file too.
"""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    """A running ``EmbeddedPostgres`` with the migrated template; a test that kills it must start it again."""
    from cohortlens.embedded.postgres import EmbeddedPostgres
    from tests.fixtures import servers

    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), 0, ephemeral=True)
    urls = server.start()
    server._requested_port = server.port  # a restart keeps the address
    try:
        servers.prepare_template(urls)
        server.urls = urls
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_urls(postgres_server):
    """``DatabaseUrls`` (admin, runtime, superuser) of this process's migrated database."""
    from tests.fixtures import servers

    return servers.fresh_database(postgres_server.urls)


@pytest.fixture
async def database(postgres_urls):
    """A ``Database`` with every table empty, as the role of jobs, which may all that the runtime role may."""
    from cohortlens.core.db import Database
    from tests.fixtures import servers

    await servers.empty(postgres_urls.superuser)
    db = Database(postgres_urls.jobs, 4)
    yield db
    await db.close()


@pytest.fixture
async def runtime(database, postgres_urls):
    """The emptied ``Database`` as the role that serves requests, which may not do the work of jobs."""
    from cohortlens.core.db import Database

    db = Database(postgres_urls.runtime, 4)
    yield db
    await db.close()


@pytest.fixture
async def superuser(postgres_urls):
    """An asyncpg connection that sees every tenant's rows."""
    import asyncpg

    connection = await asyncpg.connect(postgres_urls.superuser)
    yield connection
    await connection.close()


@pytest.fixture
async def tenants(database):
    """Two registered tenants (``RegisteredTenant``)."""
    from tests.fixtures.tenants import register

    return [await register(database, "north"), await register(database, "south")]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """A running ``EmbeddedRedis``; a test that kills it must start it again."""
    from cohortlens.embedded.redis import EmbeddedRedis

    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"), 0)
    server.url = server.start()
    server._requested_port = server.port
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_url(redis_server):
    """Address of this process's Valkey; not emptied between tests, see ``redis_client``."""
    return redis_server.url


@pytest.fixture
async def redis_client(redis_url):
    """A client of an emptied Valkey."""
    from cohortlens.core.redis import redis_client as connect

    client = connect(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()
