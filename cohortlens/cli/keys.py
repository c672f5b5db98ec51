"""``cohortlens keys status | rotate | new | forget``: which key the stored secrets are sealed under."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from cohortlens.cli import local
from cohortlens.cli.output import EXIT_FINDINGS, Fault, Output, table
from cohortlens.cli.session import guarded
from cohortlens.core.db import Database
from cohortlens.core.resealing import Resealer
from cohortlens.core.sealing import Keyring
from cohortlens.embedded import secrets, stack
from cohortlens.embedded.settings import StackConfig
from cohortlens.jobs.resealing import resealer

ResultT = TypeVar("ResultT")
_FORGET_NEXT = "cohortlens keys forget, or remove COHORTLENS_KEK_PREVIOUS"
_Counts = Mapping[str, Counter[str]]


@click.group()
def keys() -> None:
    """Show and change the key that the stored secrets are sealed under."""


@keys.command()
@guarded("keys status")
def status(out: Output) -> None:
    """Count the sealed values by key; exit code 8 unless all are under the current one."""
    keyring = local.keyring(local.config())
    counts = _with_resealer(keyring, lambda one: one.counts())
    out.result(_data(keyring, counts), _text(keyring, counts))
    if _elsewhere(keyring, counts):
        sys.exit(EXIT_FINDINGS)


@keys.command()
@guarded("keys rotate")
def rotate(out: Output) -> None:
    """Bring every sealed value under the current key; the jobs process does it too, within an hour.

    Traffic may go on. It can be stopped at any time and started again. Every process must have been started
    with the current key first: docs/guides/operating.md, section Keys.
    """
    keyring = local.keyring(local.config())
    done = _with_resealer(keyring, _reseal)
    data = _data(keyring, done.counts) | {"moved": done.moved, "broken": done.broken}
    out.result(data, f"{done.moved} values moved\n{_text(keyring, done.counts)}")
    if done.broken or _elsewhere(keyring, done.counts):
        sys.exit(EXIT_FINDINGS)


@keys.command()
@guarded("keys new")
def new(out: Output) -> None:
    """Give the embedded stack a new key; the old one still opens what it sealed. The stack must be down."""
    config = _own_keys(local.config())
    if stack.status(config).services:
        raise Fault(
            "STACK_RUNNING",
            "the running processes know only the old key",
            "cohortlens down, then cohortlens keys new and cohortlens up --detach",
        )
    made = secrets.change_kek(config.folder)
    current = Keyring.parse(made.kek.reveal()).current_id.hex()
    out.result({"current": current}, f"the key is {current} from now on; next: cohortlens up --detach")


@keys.command()
@guarded("keys forget")
def forget(out: Output) -> None:
    """Delete the embedded stack's previous keys, once nothing is sealed under them."""
    config = _own_keys(local.config())
    keyring = local.keyring(config)
    counts = _with_resealer(keyring, lambda one: one.counts())
    if left := _elsewhere(keyring, counts):
        raise Fault(
            "KEY_IN_USE",
            f"{left} values are sealed under other keys and would never open again",
            "cohortlens keys rotate",
        )
    secrets.forget_previous_keks(config.folder)
    gone = [name.hex() for name in keyring.keys if name != keyring.current_id]
    out.result({"forgotten": gone}, f"forgotten: {', '.join(gone) or 'nothing'}")


@dataclass
class _Done:
    counts: _Counts
    moved: int
    broken: int


async def _reseal(one: Resealer) -> _Done:
    told = {window.column: window async for window in one.reseal()}
    moved = sum(window.moved for window in told.values())
    broken = sum(len(window.broken) for window in told.values())
    return _Done(await one.counts(), moved, broken)


def _with_resealer(keyring: Keyring, act: Callable[[Resealer], Awaitable[ResultT]]) -> ResultT:
    config = local.config()

    async def run() -> ResultT:
        db = Database(local.jobs_url(config), 2, pooled=config.database_pooled)
        try:
            return await act(resealer(db, keyring))
        finally:
            await db.close()

    return asyncio.run(run())


def _own_keys(config: StackConfig) -> StackConfig:
    if config.kek:
        raise Fault(
            "KEY_GIVEN",
            "the key is given by COHORTLENS_KEK, so it is changed where that is set",
            "docs/guides/operating.md, section Keys",
        )
    return config


def _elsewhere(keyring: Keyring, counts: _Counts) -> int:
    current = keyring.current_id.hex()
    return sum(number for one in counts.values() for name, number in one.items() if name != current)


def _data(keyring: Keyring, counts: _Counts) -> dict[str, Any]:
    names = [name.hex() for name in keyring.keys]
    return {
        "current": names[0],
        "previous": names[1:],
        "elsewhere": _elsewhere(keyring, counts),
        "columns": {column: dict(one) for column, one in counts.items()},
    }


def _text(keyring: Keyring, counts: _Counts) -> str:
    states = {name.hex(): "previous" for name in keyring.keys} | {keyring.current_id.hex(): "current"}
    states["unnamed"] = "from before keys had names"
    rows = [
        [column, name, str(number), states.get(name, "missing: these values do not open")]
        for column, one in counts.items()
        for name, number in sorted(one.items())
    ]
    listed = table(rows, ["column", "key", "values", ""], frozenset({2})) if rows else "nothing is sealed"
    if _elsewhere(keyring, counts):
        return f"{listed}\nnext: cohortlens keys rotate"
    return listed + (f"\nthe previous keys can go; next: {_FORGET_NEXT}" if len(keyring.keys) > 1 else "")
