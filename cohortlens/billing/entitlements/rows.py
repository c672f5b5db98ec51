"""Statements about entitlements: what a subscription gives, what is granted beside it, what is stored."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.models import Access, Entitlement, Limits, Override, Rates, Standing
from cohortlens.core.ids import TenantId, plain_uuid

GRACE = timedelta(days=30)
"""How long more may be stored than the plan allows, until the tenant may only read; also in the schema."""
_NEAR = 0.8


class EntitlementRows:
    """Entitlements of any tenant, through functions of the schema.

    Args:
        tx: A connection inside a transaction.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def project(
        self,
        tenant_id: UUID,
        plan: str,
        access: Access,
        anchor: datetime | None,
        *,
        plan_version: int | None = None,
    ) -> int | None:
        """Store what the subscription of a tenant gives; what was granted beside it stays. For jobs only.

        Processes know it at most 2 s after the commit.

        Args:
            tenant_id: The tenant.
            plan: Name of the plan.
            access: How far it may be used.
            anchor: Begin of the subscription; None without one.
            plan_version: Version that was subscribed to; None for the one on offer.

        Returns:
            Version of the entitlement, raised when anything changed; None when there is no such tenant.
        """
        return await self._version(
            "app.entitlement_project(:tenant, :plan, CAST(:plan_version AS integer), :access,"
            " CAST(:anchor AS timestamptz))",
            tenant=tenant_id,
            plan=plan,
            plan_version=plan_version,
            access=Access(access).value,
            anchor=anchor,
        )

    async def override(self, tenant_id: UUID, override: Override | None) -> int | None:
        """Replace what is granted to a tenant beside its subscription; None takes it back.

        The transaction must be the platform's.

        Returns:
            Version of the entitlement; None when there is no such tenant.
        """
        return await self._version(
            "app.entitlement_override(:tenant, CAST(:override AS jsonb), CAST(:expires AS timestamptz))",
            tenant=tenant_id,
            override=None if override is None else json.dumps(stored_override(override)),
            expires=None if override is None else override.expires_at,
        )

    async def settle(self, tenant_id: UUID) -> int | None:
        """Work out anew what a tenant may do, without what has lapsed; answers the version."""
        return await self._version("app.entitlement_settle(:tenant)", tenant=tenant_id)

    async def settle_due(self) -> int:
        """Settle tenants whose grant lapsed or whose limits began or ceased to be passed; for jobs only."""
        return int(await self._tx.scalar(text("SELECT app.entitlements_settle_due()")) or 0)

    async def note(self, tenant_id: UUID, version: int | None = None) -> bool:
        """Whether owners are to be told of a version, or without one of a limit that is near. For jobs only.

        It counts as told then: the version for good, the limit for 30 days.
        """
        query = text("SELECT app.entitlement_note(:tenant, CAST(:version AS bigint))")
        return bool(await self._tx.scalar(query, {"tenant": tenant_id, "version": version}))

    async def get(self, tenant_id: UUID) -> tuple[Entitlement, float | None] | None:
        """What a tenant may do, and the seconds until a grant lapses; None when there is no such tenant."""
        _, found = await self._read(tenant_id, None)
        return found[0] if found else None

    async def since(self, watermark: str | None) -> tuple[str, list[tuple[Entitlement, float | None]]]:
        """What changed and a reading up to ``watermark`` may not have seen; None: the watermark alone."""
        return await self._read(None, watermark)

    async def standing(self, tenant_id: UUID) -> Standing | None:
        """What a tenant may do, what it has stored, and what was granted to it."""
        found = await self.get(tenant_id)
        row = (
            await self._tx.execute(text("SELECT * FROM app.tenant_standing(:tenant)"), {"tenant": tenant_id})
        ).one_or_none()
        if found is None or row is None:
            return None
        entitlement = found[0]
        most_users = entitlement.max_users
        return Standing(
            entitlement=entitlement,
            subscribed_plan=row.base_plan,
            override=None if row.override is None else _override(row.override, row.override_expires_at),
            customers=row.customers,
            users=row.users,
            near_limit=row.customers >= _NEAR * entitlement.max_customers
            or (most_users is not None and row.users >= _NEAR * most_users),
            over_limit_since=row.over_limit_since,
            read_only_at=None if row.over_limit_since is None else row.over_limit_since + GRACE,
            upgrade_to=row.upgrade_to,
        )

    async def customers_over(self, adding: int) -> int:
        """How many of so many new customers the plan of the transaction's tenant has no room for."""
        query = text(
            "SELECT u.customers + :adding - l.max_customers FROM tenant_usage u"
            " CROSS JOIN app.limits_of(app.tid()) l WHERE u.tenant_id = app.tid()"
        )
        return min(adding, max(0, int(await self._tx.scalar(query, {"adding": adding}) or 0)))

    async def differences(self) -> list[tuple[TenantId, int, int]]:
        """Tenants whose count of customers is not what is stored: tenant, count, rows. For jobs only."""
        rows = await self._tx.execute(text("SELECT * FROM app.usage_differences()"))
        return [(TenantId(plain_uuid(row.tenant_id)), row.customers, row.counted) for row in rows]

    async def _read(
        self, tenant_id: UUID | None, since: str | None
    ) -> tuple[str, list[tuple[Entitlement, float | None]]]:
        rows = await self._tx.execute(
            text(
                "SELECT * FROM app.entitlement_rows(CAST(:tenant AS uuid),"
                " CAST(CAST(:since AS text) AS xid8))"
            ),
            {"tenant": tenant_id, "since": since},
        )
        watermark, found = "0", []
        for row in rows:
            watermark = row.watermark
            if row.tenant_id is not None:
                found.append((_entitlement(row), row.lapses_in_s))
        return watermark, found

    async def _version(self, function: str, **values: object) -> int | None:
        found = await self._tx.scalar(text(f"SELECT {function}"), values)
        return None if found is None else int(found)


def _entitlement(row: Row[Any]) -> Entitlement:
    return Entitlement(
        tenant_id=TenantId(plain_uuid(row.tenant_id)),
        plan=row.plan_id,
        rank=row.plan_rank,
        access=Access(row.access),
        features=frozenset(row.features),
        max_customers=row.max_customers,
        max_api_calls_per_month=row.max_api_calls_per_month,
        max_users=row.max_users,
        rates=Rates(row.read_per_second, row.write_per_second, row.inference_per_second, row.bulk_in_flight),
        version=row.version,
        anchor=row.anchor,
    )


def stored_override(override: Override) -> dict[str, Any]:
    """What the row keeps of an override; its end has a column of its own."""
    stored: dict[str, Any] = {
        "reason": override.reason,
        "limits": {name: value for name, value in asdict(override.limits).items() if value is not None},
        "features": sorted(override.features),
    }
    return {**stored, "plan": override.plan} if override.plan else stored


def _override(stored: dict[str, Any], expires_at: datetime | None) -> Override:
    return Override(
        reason=stored.get("reason", ""),
        plan=stored.get("plan", ""),
        limits=Limits(**stored.get("limits", {})),
        features=frozenset(stored.get("features", ())),
        expires_at=expires_at,
    )
