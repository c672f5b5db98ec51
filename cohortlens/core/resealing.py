"""Bring what is sealed in the database under the installation's current key, beside running traffic.

A column takes part when its migration named it with ``app.allow_resealing`` and its slice described it as a
``SealedColumn``. Rows are taken in windows by their key; each window is one short transaction, in which a
value is replaced only if it is still the one that was opened. So the work can end anywhere, run twice or at
once in several processes: what is done is found done.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import text

from cohortlens.core.db import Database
from cohortlens.core.sealing import KEY_ID_BYTES, Keyring, SealBroken, Sealer
from cohortlens.core.telemetry import get_logger

WINDOW_ROWS = 500
_COUNTED_ROWS = 20_000
_LOG = get_logger(__name__)
_PAGE = text(
    "SELECT key, sealed FROM app.sealed_page(:target, :column, CAST(:after AS jsonb), :limit, :head)"
)
_SWAP = text(
    "SELECT app.sealed_swap(:target, :column, CAST(:keys AS jsonb[]), CAST(:old AS bytea[]),"
    " CAST(:new AS bytea[]))"
)
_COUNT = text(
    "SELECT head, number, last FROM app.sealed_counts(:target, :column, CAST(:after AS jsonb), :limit)"
)

RowKey = Mapping[str, Any]


@dataclass(frozen=True)
class SealedColumn:
    """A column whose values are sealed under the installation's key.

    Attributes:
        target: Table.
        column: Column.
        purpose: Purpose of the ``Sealer`` that seals them.
        context: The context of a row's seal, from its primary key as JSON values by column.
    """

    target: str
    column: str
    purpose: str
    context: Callable[[RowKey], bytes]

    @property
    def name(self) -> str:
        """Table and column."""
        return f"{self.target}.{self.column}"


def uuid_of(column: str) -> Callable[[RowKey], bytes]:
    """A context that is the sixteen bytes of a column of the primary key."""
    return lambda key: UUID(key[column]).bytes


@dataclass
class Resealed:
    """What became of one column's values.

    Attributes:
        column: Table and column.
        moved: Values brought under the current key.
        changed: Values that traffic changed meanwhile, so they were left to it.
        broken: Values that none of the keys opens, by their row; the keys that sealed them are missing.
    """

    column: str
    moved: int = 0
    changed: int = 0
    broken: list[RowKey] = field(default_factory=list)


class Resealer:
    """Counts and moves the sealed values of an installation.

    Args:
        db: Database as the runtime role.
        keyring: The installation's keys.
        columns: Every column that takes part.
    """

    def __init__(self, db: Database, keyring: Keyring, columns: Iterable[SealedColumn]) -> None:
        self._db = db
        self._keyring = keyring
        self._columns = tuple(columns)

    async def counts(self) -> dict[str, Counter[str]]:
        """How many values of each column are sealed under which key.

        Returns:
            By table and column: number of values by ``key_name``.
        """
        return {one.name: await self._counted(one) for one in self._columns}

    async def reseal(self) -> AsyncIterator[Resealed]:
        """Bring every value under the current key; tells of each window, at least once for each column.

        Raises:
            Unavailable: PostgreSQL went away; what was moved stays moved.
        """
        for column in self._columns:
            sealer, told = Sealer(self._keyring, column.purpose), Resealed(column.name)
            after: RowKey | None = None
            while True:
                after, rows = await self._window(column, sealer, told, after)
                yield told
                if rows < WINDOW_ROWS:
                    break
            if told.moved or told.broken:
                _LOG.info("resealed", column=told.column, moved=told.moved, broken=len(told.broken))

    async def _window(
        self, column: SealedColumn, sealer: Sealer, told: Resealed, after: RowKey | None
    ) -> tuple[RowKey | None, int]:
        place = {"target": column.target, "column": column.column}
        async with self._db.transaction() as tx:
            rows = (
                await tx.execute(
                    _PAGE, place | {"after": _json(after), "limit": WINDOW_ROWS, "head": sealer.head}
                )
            ).all()
            moves = [move for key, sealed in rows if (move := _moved(column, sealer, told, key, sealed))]
            if moves:
                keys, old, new = (list(values) for values in zip(*moves, strict=True))
                swapped = await tx.scalar(_SWAP, place | {"keys": keys, "old": old, "new": new})
                told.moved += swapped
                told.changed += len(moves) - swapped
        return (rows[-1].key if rows else after), len(rows)

    async def _counted(self, column: SealedColumn) -> Counter[str]:
        counted: Counter[str] = Counter()
        after: RowKey | None = None
        while True:
            async with self._db.transaction() as tx:
                rows = (
                    await tx.execute(
                        _COUNT,
                        {
                            "target": column.target,
                            "column": column.column,
                            "after": _json(after),
                            "limit": _COUNTED_ROWS,
                        },
                    )
                ).all()
            for row in rows:
                if row.head is not None:
                    counted[key_name(bytes(row.head))] += row.number
            if sum(row.number for row in rows) < _COUNTED_ROWS:
                return counted
            after = rows[0].last


def key_name(sealed: bytes) -> str:
    """The key of a sealed value, or of its first five bytes, as people see it: hexadecimal or ``unnamed``."""
    if sealed[:1] == b"\x01":
        return "unnamed"
    return sealed[1 : 1 + KEY_ID_BYTES].hex() if sealed[:1] == b"\x02" else "not a sealed value"


def _moved(
    column: SealedColumn, sealer: Sealer, told: Resealed, key: RowKey, sealed: bytes | None
) -> tuple[str | None, bytes, bytes] | None:
    """The row's key, its old value and the new one; None when there is nothing to do."""
    if sealed is None:
        return None
    context = column.context(key)
    try:
        return _json(key), bytes(sealed), sealer.seal(sealer.open(bytes(sealed), context), context)
    except SealBroken as fault:
        told.broken.append(key)
        _LOG.error("sealed_value_broken", column=column.name, key=dict(key), detail=str(fault))
        return None


def _json(key: RowKey | None) -> str | None:
    return None if key is None else json.dumps(dict(key))
