"""The rows of offers, their versions and data revisions; the only SQL that changes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.marketplace.contributors import Standing
from cohortlens.marketplace.models import Offer, Spec

_OWN = (
    "SELECT o.tenant_id, t.display_name AS seller, o.id, o.state, o.version, o.etag, o.spec, v.terms, "
    "v.dcat, v.created_at AS published_at FROM market_offers o JOIN tenants t ON t.id = o.tenant_id "
    "LEFT JOIN market_offer_versions v ON v.tenant_id = o.tenant_id AND v.offer_id = o.id "
    "AND v.version = o.version WHERE o.tenant_id = app.tid()"
)
_PUBLISHED = "SELECT *, 'PUBLISHED' AS state FROM app.market_published(:offer, :after, :limit)"


@dataclass(frozen=True)
class Version:
    """A version of an offer as published; never changed."""

    spec: Spec
    terms: bytes


class OfferRows:
    """Offers of the transaction's tenant, and what others publish.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def add(self, offer_id: UUID, spec: Spec) -> None:
        """Store a draft."""
        await self._tx.execute(
            text("INSERT INTO market_offers (id, spec) VALUES (:id, CAST(:spec AS jsonb))"),
            {"id": offer_id, "spec": json.dumps(spec.stored())},
        )

    async def own(self, offer_id: UUID, *, lock: bool = False) -> Offer | None:
        """One of the tenant's own; with ``lock`` nobody else changes it until the end of the transaction."""
        end = " FOR UPDATE OF o" if lock else ""
        found = await self._tx.execute(text(f"{_OWN} AND o.id = :id{end}"), {"id": offer_id})
        row = found.one_or_none()
        return None if row is None else _offer(row)

    async def own_page(self, after: UUID | None, limit: int) -> list[Offer]:
        """The tenant's own, the newest first."""
        rows = await self._tx.execute(
            text(
                f"{_OWN} AND (CAST(:after AS uuid) IS NULL OR o.id < :after) ORDER BY o.id DESC LIMIT :limit"
            ),
            {"after": after, "limit": limit},
        )
        return [_offer(row) for row in rows]

    async def published(self, offer_id: UUID) -> Offer | None:
        """One that is published, whoever sells it."""
        values = {"offer": offer_id, "after": None, "limit": 1}
        row = (await self._tx.execute(text(_PUBLISHED), values)).one_or_none()
        return None if row is None else _offer(row)

    async def published_page(self, after: UUID | None, limit: int) -> list[Offer]:
        """What is published by everybody, the newest first."""
        values = {"offer": None, "after": after, "limit": limit}
        return [_offer(row) for row in await self._tx.execute(text(_PUBLISHED), values)]

    async def change(self, offer_id: UUID, spec: Spec) -> None:
        """Store what is to be offered with the next version."""
        await self._tx.execute(
            text(
                "UPDATE market_offers SET spec = CAST(:spec AS jsonb), etag = etag + 1, "
                "updated_at = clock_timestamp() WHERE tenant_id = app.tid() AND id = :id"
            ),
            {"id": offer_id, "spec": json.dumps(spec.stored())},
        )

    async def publish(self, offer: Offer, terms: bytes, dcat: dict[str, Any]) -> None:
        """Store a new version and offer it."""
        values = {"id": offer.id, "version": offer.version + 1}
        await self._tx.execute(
            text(
                "INSERT INTO market_offer_versions (offer_id, version, spec, terms, dcat) "
                "VALUES (:id, :version, CAST(:spec AS jsonb), :terms, CAST(:dcat AS jsonb))"
            ),
            {**values, "spec": json.dumps(offer.spec.stored()), "terms": terms, "dcat": json.dumps(dcat)},
        )
        await self._tx.execute(
            text(
                "UPDATE market_offers SET state = 'PUBLISHED', version = :version, etag = etag + 1, "
                "published_at = clock_timestamp(), updated_at = clock_timestamp() "
                "WHERE tenant_id = app.tid() AND id = :id"
            ),
            values,
        )

    async def end(self, offer_id: UUID, state: str) -> None:
        """Take an offer off: SUSPENDED or WITHDRAWN."""
        await self._tx.execute(
            text(
                "UPDATE market_offers SET state = :state, etag = etag + 1, updated_at = clock_timestamp() "
                "WHERE tenant_id = app.tid() AND id = :id"
            ),
            {"id": offer_id, "state": state},
        )

    async def version(self, offer_id: UUID, version: int) -> Version:
        """A version; it is there as long as anything refers to it."""
        row = (
            await self._tx.execute(
                text(
                    "SELECT spec, terms FROM market_offer_versions "
                    "WHERE tenant_id = app.tid() AND offer_id = :id AND version = :version"
                ),
                {"id": offer_id, "version": version},
            )
        ).one()
        return Version(Spec.read(row.spec), bytes(row.terms))

    async def revision(self, offer_id: UUID, purpose: str, standing: Standing) -> tuple[int, bool]:
        """The number of the data revision that holds for a purpose, and whether it is a new one.

        The offer's row is locked, so that two who see a change make one revision.
        """
        place = {"id": offer_id, "purpose": purpose}
        await self._tx.execute(
            text("SELECT 1 FROM market_offers WHERE tenant_id = app.tid() AND id = :id FOR UPDATE"),
            {"id": offer_id},
        )
        row = (
            await self._tx.execute(
                text(
                    "SELECT revision, digest FROM market_revisions WHERE tenant_id = app.tid() "
                    "AND offer_id = :id AND purpose = :purpose ORDER BY revision DESC LIMIT 1"
                ),
                place,
            )
        ).one_or_none()
        if row is not None and bytes(row.digest) == standing.digest:
            return row.revision, False
        revision = 1 if row is None else row.revision + 1
        await self._tx.execute(
            text(
                "INSERT INTO market_revisions (offer_id, purpose, revision, digest) "
                "VALUES (:id, :purpose, :revision, :digest)"
            ),
            {**place, "revision": revision, "digest": standing.digest},
        )
        await self._tx.execute(
            text(
                "UPDATE market_agreements SET data_revision = :revision, updated_at = clock_timestamp() "
                "WHERE tenant_id = app.tid() AND offer_id = :id AND purpose = :purpose "
                "AND state IN ('AGREED', 'VERIFIED', 'FINALIZED')"
            ),
            {**place, "revision": revision},
        )
        return revision, True


def _offer(row: Any) -> Offer:
    return Offer(
        tenant_id=TenantId(plain_uuid(row.tenant_id)),
        seller=row.seller,
        id=plain_uuid(row.id),
        state=row.state,
        version=row.version,
        etag=row.etag,
        spec=Spec.read(row.spec),
        terms=bytes(row.terms or b""),
        dcat=row.dcat or {},
        published_at=row.published_at,
    )
