"""``cohortlens purposes``: what new tenants start with, straight to the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.cli import local
from cohortlens.cli.output import Fault, Output, table
from cohortlens.cli.session import guarded
from cohortlens.core.db import Database

ResultT = TypeVar("ResultT")
MECHANISMS = ("OPT_IN", "OPT_OUT", "NOTICE")
_COLUMNS = ["purpose", "mechanism", "validity_days", "activities"]
_LIST = "SELECT key, mechanism, validity_days, activities FROM purpose_seeds ORDER BY key"
_SET = "UPDATE purpose_seeds SET mechanism = :mechanism WHERE key = :key"


@click.group("purposes")
def purposes() -> None:
    """Show and change the purposes that new tenants start with; others change theirs by the API."""


@purposes.command("list")
@guarded("purposes list")
def list_purposes(out: Output) -> None:
    """List the purposes that new tenants start with."""
    _report(out, _asked(_rows))


@purposes.command("default")
@click.argument("purpose")
@click.argument("mechanism", type=click.Choice(MECHANISMS))
@guarded("purposes default")
def default(out: Output, purpose: str, mechanism: str) -> None:
    """Decide what customers of new tenants must do before they may be used for a purpose.

    OPT_IN: consent. OPT_OUT: not object, on a legitimate interest. NOTICE: nothing, on a contract or a law.

    For example: cohortlens purposes default profiling OPT_OUT
    """

    async def change(tx: AsyncConnection) -> list[dict[str, Any]]:
        done = await tx.execute(text(_SET), {"key": purpose, "mechanism": mechanism})
        if done.rowcount == 0:
            raise Fault(
                "RESOURCE_NOT_FOUND", f"there is no purpose {purpose[:64]!r}", "cohortlens purposes list"
            )
        return await _rows(tx)

    _report(out, _asked(change))


async def _rows(tx: AsyncConnection) -> list[dict[str, Any]]:
    return [
        {
            "purpose": row.key,
            "mechanism": row.mechanism,
            "validity_days": row.validity_days,
            "activities": list(row.activities),
        }
        for row in await tx.execute(text(_LIST))
    ]


def _asked(ask: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
    async def run() -> ResultT:
        config = local.config()
        db = Database(local.jobs_url(config), 1, pooled=config.database_pooled)
        try:
            async with db.transaction() as tx:
                return await ask(tx)
        finally:
            await db.close()

    return asyncio.run(run())


def _report(out: Output, rows: list[dict[str, Any]]) -> None:
    shown = [[_text(row[name]) for name in _COLUMNS] for row in rows]
    out.result({"purposes": rows}, table(shown, _COLUMNS))


def _text(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else "" if value is None else str(value)
