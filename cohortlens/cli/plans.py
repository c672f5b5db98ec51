"""``cohortlens plan``: the operator's own commands about plans, straight to the database."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import click

from cohortlens.billing.entitlements.catalogue import Catalogue
from cohortlens.billing.entitlements.overrides import OPERATOR, Overrides
from cohortlens.billing.models import Override, Plan, Price, Standing
from cohortlens.cli import local
from cohortlens.cli.output import Output, table
from cohortlens.cli.session import guarded
from cohortlens.contracts.currency import minor_digits
from cohortlens.core.db import Database
from cohortlens.core.mail import MAIL_PURPOSE
from cohortlens.core.sealing import Sealer

ResultT = TypeVar("ResultT")
Changed = Callable[[Override | None], Override | None]

_REASON = click.option("--reason", required=True, help="Why, 10 to 500 characters; the owners are told.")
_UNTIL = click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="When all that is granted lapses, in UTC; without it nothing of it does.",
)


@click.group("plan")
def plan() -> None:
    """Show the plans, and grant tenants something beside their subscription."""


@plan.command("list")
@guarded("plan list")
def list_plans(out: Output) -> None:
    """List the plans on offer."""
    rows = [_shown_plan(one) for one in _asked(lambda db, _: Catalogue(db).plans())]
    columns = ["plan", "customers", "calls_a_month", "users", "prices", "features"]
    out.result({"plans": rows}, table([[str(row[name]) for name in columns] for row in rows], columns))


@plan.command("show")
@click.argument("tenant", type=click.UUID)
@guarded("plan show")
def show(out: Output, tenant: UUID) -> None:
    """Show what a tenant may do and what it has stored.

    For example: cohortlens plan show 0193b0a0-0000-7000-8000-000000000002
    """
    _report(out, tenant, _asked(lambda _, overrides: overrides.of_tenant(tenant)))


@plan.command("grant")
@click.argument("tenant", type=click.UUID)
@click.argument("name")
@_UNTIL
@_REASON
@guarded("plan grant")
def grant(out: Output, tenant: UUID, name: str, until: datetime | None, reason: str) -> None:
    """Grant a tenant a plan; it counts while it ranks above the subscription's.

    Limits and features that were granted stay.

    For example: cohortlens plan grant 0193b0a0-... professional --until 2026-12-31 --reason "a pilot project"
    """

    def changed(now: Override | None) -> Override:
        return dataclasses.replace(_kept(now, reason, until), plan=name)

    _change(out, tenant, changed, reason)


@plan.command("override")
@click.argument("tenant", type=click.UUID)
@click.option("--max-customers", type=click.IntRange(0, 10**12), help="Customers that may be stored.")
@click.option("--max-api-calls", type=click.IntRange(0, 10**12), help="Units of api_calls in a month.")
@click.option("--max-users", type=click.IntRange(1, 10**6), help="Users and open invitations.")
@click.option("--read-rate", type=click.FloatRange(0.01, 10**5), help="Calls a second that read.")
@click.option(
    "--write-rate", type=click.FloatRange(0.01, 10**5), help="Calls a second that change something."
)
@click.option("--inference-rate", type=click.FloatRange(0.01, 10**5), help="Cost units a second of models.")
@click.option("--bulk", type=click.IntRange(1, 10**4), help="Calls at once that move many rows.")
@click.option("--feature", "features", multiple=True, help="Feature beside the plan's; may be repeated.")
@_UNTIL
@_REASON
@guarded("plan override")
def override(
    out: Output, tenant: UUID, features: tuple[str, ...], until: datetime | None, reason: str, **given: Any
) -> None:
    """Set single limits of a tenant, and grant it features; a granted plan and what is not named stay.

    For example: cohortlens plan override 0193b0a0-... --max-customers 30000 --reason "grown in the pilot"
    """
    limits = {_LIMITS[name]: value for name, value in given.items() if value is not None}
    if not (limits or features or until):
        raise click.UsageError("name at least one limit, --feature or --until")

    def changed(now: Override | None) -> Override:
        kept = _kept(now, reason, until)
        return dataclasses.replace(
            kept,
            limits=dataclasses.replace(kept.limits, **limits),
            features=kept.features | frozenset(features),
        )

    _change(out, tenant, changed, reason)


@plan.command("clear")
@click.argument("tenant", type=click.UUID)
@_REASON
@guarded("plan clear")
def clear(out: Output, tenant: UUID, reason: str) -> None:
    """Take back everything that was granted to a tenant; its subscription alone counts then."""
    _change(out, tenant, lambda _: None, reason)


def grant_demo_plan(tenant_id: UUID, name: str, features: frozenset[str], reason: str) -> bool:
    """Grant a tenant a plan and features unless it has a subscription or a grant; answers whether it was."""

    async def ask(_: Database, overrides: Overrides) -> bool:
        now = await overrides.of_tenant(tenant_id)
        if now.override is not None or now.entitlement.anchor is not None:
            return False
        await overrides.grant(OPERATOR, tenant_id, Override(reason, name, features=features), reason)
        return True

    return _asked(ask)


_LIMITS = {
    "max_customers": "max_customers",
    "max_api_calls": "max_api_calls_per_month",
    "max_users": "max_users",
    "read_rate": "read",
    "write_rate": "write",
    "inference_rate": "inference",
    "bulk": "bulk_in_flight",
}


def _kept(now: Override | None, reason: str, until: datetime | None) -> Override:
    """What is granted now, with a new reason, and a new end when one is named."""
    ends = until.replace(tzinfo=UTC) if until is not None else now.expires_at if now is not None else None
    return dataclasses.replace(now or Override(reason), reason=reason, expires_at=ends)


def _change(out: Output, tenant: UUID, changed: Changed, reason: str) -> None:
    done = _asked(lambda _, overrides: overrides.change(OPERATOR, tenant, changed, reason))
    _report(out, tenant, done)


def _asked(ask: Callable[[Database, Overrides], Awaitable[ResultT]]) -> ResultT:
    async def run() -> ResultT:
        config = local.config()
        sealer = Sealer(local.keyring(config), MAIL_PURPOSE)
        db = Database(local.jobs_url(config), 1, pooled=config.database_pooled)
        try:
            return await ask(db, Overrides(db, None, sealer))
        finally:
            await db.close()

    return asyncio.run(run())


def _report(out: Output, tenant: UUID, standing: Standing) -> None:
    now = standing.entitlement
    granted = standing.override
    data: dict[str, Any] = {
        "tenant": str(tenant),
        "plan": now.plan,
        "subscribed_plan": standing.subscribed_plan,
        "access": now.access.value,
        "version": now.version,
        "limits": {
            "max_customers": now.max_customers,
            "max_api_calls_per_month": now.max_api_calls_per_month,
            "max_users": now.max_users,
            **dataclasses.asdict(now.rates),
        },
        "features": sorted(now.features),
        "stored": {"customers": standing.customers, "users": standing.users},
        "over_limit_since": _time(standing.over_limit_since),
        "read_only_at": _time(standing.read_only_at),
        "granted": None
        if granted is None
        else {
            "plan": granted.plan,
            "limits": {k: v for k, v in dataclasses.asdict(granted.limits).items() if v is not None},
            "features": sorted(granted.features),
            "until": _time(granted.expires_at),
            "reason": granted.reason,
        },
    }
    lines = [
        f"plan {now.plan} (subscribed: {standing.subscribed_plan}), access {now.access.value}",
        f"customers {standing.customers:,} of {now.max_customers:,}; "
        f"users {standing.users:,} of {'any number' if now.max_users is None else f'{now.max_users:,}'}; "
        f"{now.max_api_calls_per_month:,} API calls a month",
        "features: " + " ".join(sorted(now.features)),
    ]
    if standing.over_limit_since is not None:
        lines.append(
            f"more is stored than allowed since {_time(standing.over_limit_since)}; "
            f"read-only from {_time(standing.read_only_at)}"
        )
    if granted is not None:
        until = "without end" if granted.expires_at is None else f"until {_time(granted.expires_at)}"
        lines.append(f"granted {until}: {_granted_text(granted)} ({granted.reason})")
    out.result(data, "\n".join(lines))


def _granted_text(granted: Override) -> str:
    limits = {name: value for name, value in dataclasses.asdict(granted.limits).items() if value is not None}
    parts = [f"plan {granted.plan}"] if granted.plan else []
    parts += [f"{name} {value:,}" for name, value in limits.items()]
    parts += sorted(granted.features)
    return ", ".join(parts) or "nothing"


def _shown_plan(one: Plan) -> dict[str, Any]:
    return {
        "plan": one.plan_id,
        "version": one.version,
        "customers": one.max_customers,
        "calls_a_month": one.max_api_calls_per_month,
        "users": "any" if one.max_users is None else one.max_users,
        "prices": ", ".join(
            f"{_amount(price)} {price.currency}/{price.interval.value}" for price in one.prices
        ),
        "features": " ".join(sorted(one.features)),
    }


def _amount(price: Price) -> str:
    digits = minor_digits(price.currency)
    return f"{Decimal(price.amount_minor).scaleb(-digits):,.{digits}f}"


def _time(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"
