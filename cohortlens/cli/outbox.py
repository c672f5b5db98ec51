"""``cohortlens outbox list | show | retry | discard``: the operator's view of events that wait or died."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar
from uuid import UUID

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.cli import local
from cohortlens.cli.output import Fault, Output, table
from cohortlens.cli.session import guarded
from cohortlens.core import outbox_operation as operation
from cohortlens.core.db import Database
from cohortlens.core.ids import parse_uuid

ResultT = TypeVar("ResultT")
_ERROR_SHOWN = 60


@click.group()
def outbox() -> None:
    """Look at events that wait or died; try them again or give them up.

    Works on the database of the stack of this machine, or on the one of COHORTLENS_DATABASE_URL.
    """


@outbox.command("list")
@click.option("--open", "is_open", is_flag=True, help="Those that wait or run, in place of the dead.")
@click.option("--topic", default="", help="Only this topic.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@guarded("outbox list")
def list_command(out: Output, is_open: bool, topic: str, limit: int) -> None:
    """Show dead events, oldest first, and how many wait behind each."""
    state = "OPEN" if is_open else "DEAD"
    events, figures = _with(lambda db: _listed(db, state, topic, limit))
    data = {"events": [_json(event) for event in events], "topics": [asdict(one) for one in figures]}
    rows = [
        [str(e.id), e.state, e.topic, e.key, str(e.attempts), str(e.behind), e.last_error[:_ERROR_SHOWN]]
        for e in events
    ]
    header = ["event", "state", "topic", "key", "attempts", "behind", "last error"]
    counts = [[one.topic, str(one.open), str(one.dead), f"{one.oldest_s:.0f} s"] for one in figures]
    text = table(rows, header) if rows else f"no event is {state.lower()}"
    text += "\n\n" + table(counts, ["topic", "open", "dead", "oldest open"]) if counts else ""
    out.result(data, text)


@outbox.command()
@click.argument("event")
@guarded("outbox show")
def show(out: Output, event: str) -> None:
    """Show one event with its payload and its whole last error."""
    found = _with(lambda db: operation.find(db, _identifier(event)))
    if found is None:
        raise _missing(event)
    lines = [f"{name + ':':<12}{value}" for name, value in _json(found).items()]
    out.result(_json(found), "\n".join(lines))


@outbox.command()
@click.argument("events", nargs=-1)
@click.option("--topic", default="", help="All dead events of this topic.")
@click.option("--all", "is_all", is_flag=True, help="All dead events.")
@guarded("outbox retry")
def retry(out: Output, events: tuple[str, ...], topic: str, is_all: bool) -> None:
    """Bring dead events back; each goes before all that wait in its key. Open ones are tried at once."""
    if [bool(events), bool(topic), is_all].count(True) != 1:
        raise Fault(
            "USAGE_INVALID", "name events, or --topic, or --all", "cohortlens outbox list", "INVALID_ARGUMENT"
        )
    chosen = [_identifier(event) for event in events]
    note = _audited("core.event.retried")
    done = _with(
        lambda db: operation.retry(db, chosen, note) if chosen else operation.retry_dead(db, topic, note)
    )
    _report(out, "retried", done, events)


@outbox.command()
@click.argument("events", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@guarded("outbox discard")
def discard(out: Output, events: tuple[str, ...], yes: bool) -> None:
    """Give events up for good, so that what waits behind them goes on; one that runs right now is left."""
    chosen = [_identifier(event) for event in events]
    if not yes and not out.as_json:
        click.confirm(f"give up {len(chosen)} event(s); their work is never done?", abort=True, err=True)
    _report(
        out,
        "discarded",
        _with(lambda db: operation.discard(db, chosen, _audited("core.event.discarded"))),
        events,
    )


async def _listed(
    db: Database, state: str, topic: str, limit: int
) -> tuple[list[operation.SeenEvent], list[operation.Figures]]:
    return await operation.seen(db, state, topic, limit), await operation.figures(db)


def _audited(action: str) -> operation.Note:
    """Chains a row in the log of the event's tenant."""

    async def note(tx: AsyncConnection, event: operation.SeenEvent) -> None:
        details = {"topic": event.topic, "state": event.state, "attempts": event.attempts}
        await AuditTrail(tx).append(
            Actor("system", "operator"), action, resource=f"events/{event.id}", details=details
        )

    return note


def _report(out: Output, verb: str, done: list[UUID], asked: tuple[str, ...]) -> None:
    left = [event for event in asked if UUID(event) not in done]
    text = f"{verb} {len(done)}" + (f"; left as they are: {', '.join(left)}" if left else "")
    if left and not done:
        raise _missing(", ".join(left))
    out.result({verb: [str(event) for event in done], "left": left}, text)


def _missing(event: str) -> Fault:
    return Fault(
        "EVENT_NOT_FOUND",
        f"{event}: no such event, or it is done or runs right now",
        "cohortlens outbox list",
        "NOT_FOUND",
    )


def _identifier(event: str) -> UUID:
    found = parse_uuid(event)
    if found is None:
        raise Fault(
            "USAGE_INVALID",
            f"{event!r} is not the identifier of an event",
            "cohortlens outbox list",
            "INVALID_ARGUMENT",
        )
    return found


def _json(event: operation.SeenEvent) -> dict[str, Any]:
    plain = json.loads(json.dumps(asdict(event), default=str))
    return dict(plain)


def _with(work: Callable[[Database], Awaitable[ResultT]]) -> ResultT:
    async def run() -> ResultT:
        db = Database(local.jobs_url(local.config()), 1)
        try:
            return await work(db)
        finally:
            await db.close()

    return asyncio.run(run())
