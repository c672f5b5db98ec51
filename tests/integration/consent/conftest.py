"""Requests of persons over real stores."""

from __future__ import annotations

import pytest

from cohortlens.bootstrap.rights import open_rights
from cohortlens.consent.fulfilment.personal_data import FulfilmentStore
from cohortlens.consent.fulfilment.steps import Means
from cohortlens.core.paging import PageTokens
from cohortlens.core.sealing import Keyring
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.service import CustomersService
from cohortlens.marketplace.personal_data import MarketStore
from tests.fakes.web3 import FakeLedger, FakeWeb3


@pytest.fixture
def keys():
    """Keys of tenants under a key of this test."""
    return TenantKeys(Keyring(b"k" * 32))


@pytest.fixture
def rights(database, redis_client, keys, tmp_path):
    """The rights of persons over every store, with a fake of the sidecar."""
    web3 = FakeWeb3()
    means = Means(database, keys, web3, FakeLedger(web3), web3)
    return open_rights(
        database, redis_client, keys, tmp_path, (MarketStore(database), FulfilmentStore(means))
    )


@pytest.fixture
def customers(database, keys, rights, tmp_path):
    """The service of customers, which asks for erased persons."""
    return CustomersService(
        database, tmp_path / "spool", PageTokens(b"k" * 32), keys, erased=rights.suppressions.erased
    )


@pytest.fixture
def tenant(tenants):
    """The first registered tenant."""
    return tenants[0]
