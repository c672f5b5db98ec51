"""``cohortlens billing events | replay | reconcile``: the inbox of the payment provider, for the operator."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import click

from cohortlens.audit.models import Actor
from cohortlens.billing.payments.operating import BillingEvent, BillingOperations
from cohortlens.cli import local
from cohortlens.cli.output import Fault, Output, table
from cohortlens.cli.session import guarded
from cohortlens.core.db import Database
from cohortlens.core.errors import NotFound

ResultT = TypeVar("ResultT")

_OPERATOR = Actor("system", "operator")
_STATES = ("PENDING", "DONE", "IGNORED", "DEAD")
_ERROR_SHOWN = 60
_SHOWN = ("event_id", "state", "type", "customer_id", "tenant_id", "attempts", "received_at", "last_error")


@click.command("events")
@click.option("--state", type=click.Choice(_STATES, case_sensitive=False), help="Only this state.")
@click.option("--type", "kind", default="", help="Only this type, such as invoice.paid.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@guarded("billing events")
def events(out: Output, state: str | None, kind: str, limit: int) -> None:
    """Show the events of the payment provider, newest first."""
    found = _asked(lambda rows: rows.page(_OPERATOR, state=state or "", event_type=kind, limit=limit))
    rows = [_json(one) for one in found]
    listed = table([[_cell(row[name]) for name in _SHOWN] for row in rows], list(_SHOWN)) if rows else ""
    out.result({"events": rows}, listed or "there is no such event")


@click.command("replay")
@click.argument("event")
@click.option("--reason", required=True, help="Why, for the audit log.")
@guarded("billing replay")
def replay(out: Output, event: str, reason: str) -> None:
    """Follow an event again from its first attempt, as after the cause of a dead one was mended."""
    found = _asked(
        lambda rows: rows.replay(_OPERATOR, event, reason),
        Fault("EVENT_NOT_FOUND", f"{event}: no such event", "cohortlens billing events", "NOT_FOUND"),
    )
    text = f"{found.event_id} is {found.state} and due; what came of it: cohortlens billing events"
    out.result({"event": _json(found)}, text)


@click.command("reconcile")
@click.argument("tenant", type=click.UUID)
@click.option("--reason", required=True, help="Why, for the audit logs.")
@guarded("billing reconcile")
def reconcile(out: Output, tenant: UUID, reason: str) -> None:
    """Have a tenant's subscription compared with the payment provider's now."""
    found = _asked(
        lambda rows: rows.reconcile(_OPERATOR, tenant, reason),
        Fault("TENANT_NOT_FOUND", f"{tenant}: no such tenant", "cohortlens tenant list", "NOT_FOUND"),
    )
    text = f"asked for as {found.event_id}; what came of it: cohortlens billing events --type {found.type}"
    out.result({"event": _json(found)}, text)


def _asked(ask: Callable[[BillingOperations], Awaitable[ResultT]], missing: Fault | None = None) -> ResultT:
    """What a use case gives on the database of this machine's stack; ``missing`` when it finds nothing."""

    async def run() -> ResultT:
        config = local.config()
        db = Database(local.jobs_url(config), 1, pooled=config.database_pooled)
        try:
            return await ask(BillingOperations(db))
        except NotFound as fault:
            raise missing or fault from None
        finally:
            await db.close()

    return asyncio.run(run())


def _json(event: BillingEvent) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(event), default=_plain))
    if event.ended_at is not None:
        # It means nothing once the event has ended.
        values["next_try_at"] = None
    return values


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _cell(value: Any) -> str:
    return "-" if value in {None, ""} else str(value)[:_ERROR_SHOWN]
