"""``cohortlens billing``: the operator's own commands about payments, straight to database and provider."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import click
from sqlalchemy import text

from cohortlens.adapters.stripe_provider import payment_provider
from cohortlens.billing.payments.ports import PaymentProvider
from cohortlens.billing.subscriptions.catalogue_sync import CataloguePrice, CatalogueSync
from cohortlens.cli import local
from cohortlens.cli.billing_events import events, reconcile, replay
from cohortlens.cli.output import Fault, Output, table
from cohortlens.cli.session import guarded
from cohortlens.contracts.currency import minor_digits
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError

ResultT = TypeVar("ResultT")

_EVENTS = text(
    "SELECT state, count(*) AS events, min(received_at) AS oldest FROM stripe_events"
    " GROUP BY state ORDER BY state"
)


@dataclass(frozen=True)
class EventCount:
    """Events of the provider in one state."""

    state: str
    events: int
    oldest: datetime


@click.group("billing")
def billing() -> None:
    """Tell the payment provider the plans; show how payments stand."""


@billing.command("sync-catalogue")
@guarded("billing sync-catalogue")
def sync_catalogue(out: Output) -> None:
    """Make or find the prices of the plans at the payment provider; once more changes nothing.

    A price is never edited: who bought it keeps it. One that differs from the catalogue gets a successor.
    """
    done = _asked(lambda db, provider: CatalogueSync(db, provider).run())
    rows = [{**_shown(one.price), "price": one.price_id, "done": one.done} for one in done]
    out.result({"prices": rows}, _listed(rows))


@billing.command("status")
@guarded("billing status")
def status(out: Output) -> None:
    """Show the payment provider, the prices it knows, and the events that came from it."""
    is_live, is_reached, prices, events = _asked(_status)
    rows = [{**_shown(one), "price": one.price_id} for one in prices]
    counts = [
        {"state": one.state, "events": one.events, "oldest": f"{one.oldest:%Y-%m-%d %H:%M}"} for one in events
    ]
    missing = len([one for one in prices if not one.price_id])
    mode = "live: real money" if is_live else "test: no money moves"
    lines = [f"mode:      {mode}", f"provider:  {'answers' if is_reached else 'cannot be reached'}"]
    if missing:
        lines.append(f"{missing} price(s) are not at the provider: cohortlens billing sync-catalogue")
    lines += ["", _listed(rows), "", _listed(counts) if counts else "no event has come yet"]
    data = {"live": is_live, "provider_reached": is_reached, "prices": rows, "events": counts}
    out.result(data, "\n".join(lines))


async def _status(
    db: Database, provider: PaymentProvider
) -> tuple[bool, bool, list[CataloguePrice], list[EventCount]]:
    prices = await CatalogueSync(db, provider).prices()
    async with db.transaction() as tx:
        events = [EventCount(*row) for row in await tx.execute(_EVENTS)]
    try:
        await provider.products()
    except CohortLensError:
        return provider.livemode, False, prices, events
    return provider.livemode, True, prices, events


for _command in (events, replay, reconcile):
    billing.add_command(_command)


def _asked(ask: Callable[[Database, PaymentProvider], Awaitable[ResultT]]) -> ResultT:
    """What a use case gives with the database and the provider of this machine's stack."""
    return asyncio.run(_with_both(ask))


async def _with_both(ask: Callable[[Database, PaymentProvider], Awaitable[ResultT]]) -> ResultT:
    config = local.config()
    key, base = local.payments(config)
    if not key:
        raise Fault(
            "STRIPE_UNAVAILABLE",
            "payments are not set up: there is no key of a payment provider",
            "set COHORTLENS_STRIPE_API_KEY",
            "UNAVAILABLE",
        )
    db = Database(local.jobs_url(config), 1, pooled=config.database_pooled)
    provider = payment_provider(key, base)
    try:
        return await ask(db, provider)
    finally:
        await provider.close()
        await db.close()


def _shown(price: CataloguePrice) -> dict[str, Any]:
    digits = minor_digits(price.currency.upper())
    return {
        "plan": price.plan,
        "version": price.version,
        "interval": price.interval,
        "amount": f"{Decimal(price.amount_minor).scaleb(-digits)} {price.currency.upper()}",
    }


def _listed(rows: list[dict[str, Any]]) -> str:
    return table([[str(value) for value in row.values()] for row in rows], list(rows[0]))
