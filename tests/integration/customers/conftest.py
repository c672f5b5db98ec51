"""A tenant that imports files, all the way into the tables."""

import pytest

from cohortlens.core.paging import PageTokens
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.models import ImportOptions
from cohortlens.customers.service import CustomersService


async def pieces(data, size=1 << 20):
    for at in range(0, len(data), size):
        yield data[at : at + size]


class Shop:
    """One tenant with its service."""

    def __init__(self, tenant, service):
        self.tenant = tenant
        self.service = service

    @property
    def ctx(self):
        return self.tenant.context()

    async def start(self, data, **options):
        return await self.service.start_import(self.ctx, ImportOptions(**options), pieces(data))

    async def load(self, data, **options):
        started = await self.start(data, **options)
        await self.service.run_import(self.tenant.tenant_id, started.import_id)
        return await self.service.get_import(self.ctx, started.import_id)


@pytest.fixture
def service(database, tmp_path):
    return CustomersService(database, tmp_path / "spool", PageTokens(b"k" * 32), TenantKeys(b"k" * 32))


@pytest.fixture
def shop(service, tenants):
    return Shop(tenants[0], service)


@pytest.fixture
def other_shop(service, tenants):
    return Shop(tenants[1], service)


@pytest.fixture
def csv():
    def build(*rows, header="customer,date,amount"):
        return ("\n".join([header, *rows]) + "\n").encode()

    return build


_SHOWN = 10_000


@pytest.fixture
def contents(superuser):
    """The rows of every customers table, as text, for comparing two moments; of a large one their digest."""

    async def read():
        found = {}
        for table in ("customers", "transactions", "purchase_days", "customer_features", "customer_data"):
            if await superuser.fetchval(f"SELECT count(*) FROM {table}") > _SHOWN:
                found[table] = await superuser.fetchval(
                    f"SELECT md5(string_agg(row, '' ORDER BY row)) FROM (SELECT md5(t::text) COLLATE \"C\" AS row FROM {table} t) x"
                )
            else:
                rows = await superuser.fetch(f"SELECT t::text FROM {table} t ORDER BY 1")
                found[table] = [row[0] for row in rows]
        return found

    return read
