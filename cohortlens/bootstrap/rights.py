"""Wires the requests of persons about their data: every store that holds some is named here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cohortlens.analytics.batches.personal_data import BatchStore
from cohortlens.analytics.personal_data import analytics_store
from cohortlens.consent.data_requests.identity_store import IdentityStore
from cohortlens.consent.data_requests.service import DataRequestsService
from cohortlens.consent.data_requests.upkeep import DataRequestUpkeep
from cohortlens.consent.data_requests.work import DataRequestWork
from cohortlens.consent.legal_holds import LegalHolds
from cohortlens.consent.links import ConsentLinks
from cohortlens.consent.personal_data import PersonalDataStore, Stores
from cohortlens.consent.subjects import People
from cohortlens.consent.suppressions import Suppressions
from cohortlens.core.answer_erasure import AnswerStore
from cohortlens.core.db import Database
from cohortlens.core.redis import RedisClient
from cohortlens.core.redis_erasure import RedisStore
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.personal_data import ImportStore, customer_store


@dataclass(frozen=True)
class Rights:
    """Use cases of the rights of persons, one attribute per file."""

    requests: DataRequestsService
    work: DataRequestWork
    stores: Stores
    suppressions: Suppressions
    holds: LegalHolds
    links: ConsentLinks
    upkeep: DataRequestUpkeep


def open_rights(
    db: Database, redis: RedisClient, keys: TenantKeys, root: Path, more: Sequence[PersonalDataStore] = ()
) -> Rights:
    """Wire the rights of persons.

    Args:
        db: The database.
        redis: Redis.
        keys: The tenants' keys.
        root: Folder of the artifact store.
        more: Stores of slices that stand on consent: credentials and rewards, the marketplace.
    """
    stores = Stores(
        [
            AnswerStore(db, keys),
            RedisStore(redis),
            analytics_store(db),
            BatchStore(db, root),
            ImportStore(db),
            *more,
            customer_store(db),
            IdentityStore(db, keys, root),
        ]
    )
    people, suppressions = People(keys), Suppressions(db, keys)
    return Rights(
        requests=DataRequestsService(db, keys, people, root),
        work=DataRequestWork(db, keys, stores, suppressions, root),
        stores=stores,
        suppressions=suppressions,
        holds=LegalHolds(db, keys, people),
        links=ConsentLinks(db, people),
        upkeep=DataRequestUpkeep(db),
    )
