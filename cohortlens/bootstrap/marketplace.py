"""Wires the marketplace: offers, agreements, questions and settlement."""

from __future__ import annotations

from dataclasses import dataclass

from cohortlens.consent.fulfilment.steps import Means
from cohortlens.core.db import Database
from cohortlens.marketplace.access import Access
from cohortlens.marketplace.offers import Offers
from cohortlens.marketplace.queries import Queries
from cohortlens.marketplace.settlements import Settlements
from cohortlens.marketplace.settling import Settling
from cohortlens.marketplace.upkeep import MarketUpkeep


@dataclass(frozen=True)
class Marketplace:
    """Use cases of the marketplace, one attribute per file."""

    offers: Offers
    access: Access
    queries: Queries
    settlements: Settlements
    settling: Settling
    upkeep: MarketUpkeep


def open_marketplace(db: Database, means: Means) -> Marketplace:
    """Wire it.

    Args:
        db: PostgreSQL.
        means: What the steps of fulfilment work with; the sidecar may be away.
    """
    return Marketplace(
        Offers(db), Access(db), Queries(db), Settlements(db), Settling(means), MarketUpkeep(db)
    )
