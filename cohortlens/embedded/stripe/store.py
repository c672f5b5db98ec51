"""State of the provider in one SQLite file: objects, agenda, deliveries, idempotency keys, knobs.

One thread works on it; what a request changes is committed in one step, so a killed process loses nothing
that was answered.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from cohortlens.core.private import make_private

Object = dict[str, Any]
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  body TEXT NOT NULL,
  hidden TEXT NOT NULL DEFAULT '{}',
  customer TEXT GENERATED ALWAYS AS (json_extract(body, '$.customer')) VIRTUAL
);
CREATE INDEX IF NOT EXISTS objects_kind ON objects (kind, seq);
CREATE INDEX IF NOT EXISTS objects_customer ON objects (customer, kind, seq);
CREATE TABLE IF NOT EXISTS agenda (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  object TEXT NOT NULL,
  action TEXT NOT NULL,
  customer TEXT,
  due_at INTEGER NOT NULL,
  UNIQUE (object, action)
);
CREATE TABLE IF NOT EXISTS deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  event TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  body BLOB NOT NULL,
  signing TEXT NOT NULL,
  due_at REAL NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT 'pending',
  answer TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (state, due_at);
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  status INTEGER NOT NULL,
  body BLOB NOT NULL,
  at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS meter_events (
  identifier TEXT NOT NULL,
  event_name TEXT NOT NULL,
  customer TEXT NOT NULL,
  value REAL NOT NULL,
  at INTEGER NOT NULL,
  received_at REAL NOT NULL,
  canceled INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS meter_events_identifier ON meter_events (event_name, identifier);
CREATE INDEX IF NOT EXISTS meter_events_customer ON meter_events (event_name, customer, at);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Due(NamedTuple):
    """Something the agenda holds.

    Attributes:
        object: Identifier of the object it is about.
        action: What is to happen.
        due_at: When, in the time of its customer.
    """

    object: str
    action: str
    due_at: int


class Store:
    """The file.

    Args:
        path: Where; its folder is made when missing. ``:memory:`` keeps nothing.
    """

    def __init__(self, path: Path | str) -> None:
        if isinstance(path, Path):
            make_private(path.parent)
            path.touch(mode=0o600)
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        if self.db.execute("PRAGMA user_version").fetchone() != (_VERSION,):
            # Only what is under way has another form than before; nothing of the account is lost.
            self.db.execute("DROP TABLE IF EXISTS deliveries")
            self.db.execute(f"PRAGMA user_version = {_VERSION}")
        self.db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; inside another one, nothing of its own is kept when it fails."""
        if self.db.in_transaction:
            self.db.execute("SAVEPOINT inner")
            try:
                yield
            except BaseException:
                self.db.execute("ROLLBACK TO inner")
                raise
            finally:
                self.db.execute("RELEASE inner")
            return
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def add(self, made: Object, **hidden: Any) -> Object:
        """Store a new object, with what its published form does not show."""
        self.db.execute(
            "INSERT INTO objects (id, kind, body, hidden) VALUES (?, ?, ?, ?)",
            (made["id"], made["object"], _text(made), _text(hidden)),
        )
        return made

    def get(self, kind: str, identifier: str) -> Object | None:
        """The object, if there is one of the kind."""
        row = self.db.execute(
            "SELECT body FROM objects WHERE id = ? AND kind = ?", (identifier, kind)
        ).fetchone()
        return None if row is None else orjson.loads(row[0])

    def any(self, identifier: str) -> Object | None:
        """The object of whatever kind."""
        row = self.db.execute("SELECT body FROM objects WHERE id = ?", (identifier,)).fetchone()
        return None if row is None else orjson.loads(row[0])

    def put(self, changed: Object) -> Object:
        """Store an object's new state."""
        self.db.execute("UPDATE objects SET body = ? WHERE id = ?", (_text(changed), changed["id"]))
        return changed

    def remove(self, identifier: str) -> None:
        """Forget an object and what was to happen to it."""
        self.db.execute("DELETE FROM objects WHERE id = ?", (identifier,))
        self.db.execute("DELETE FROM agenda WHERE object = ?", (identifier,))

    def hidden(self, identifier: str) -> Object:
        """What the published form of an object does not show."""
        row = self.db.execute("SELECT hidden FROM objects WHERE id = ?", (identifier,)).fetchone()
        return {} if row is None else orjson.loads(row[0])

    def hide(self, identifier: str, **values: Any) -> None:
        """Change some of it."""
        merged = self.hidden(identifier) | values
        self.db.execute("UPDATE objects SET hidden = ? WHERE id = ?", (_text(merged), identifier))

    def newest(self, kind: str, customer: str | None = None) -> Iterator[Object]:
        """Objects of a kind, the newest first; of one customer if given."""
        sql, values = "SELECT body FROM objects WHERE kind = ?", [kind]
        if customer is not None:
            sql, values = sql + " AND customer = ?", [kind, customer]
        for row in self.db.execute(sql + " ORDER BY seq DESC", values).fetchall():
            yield orjson.loads(row[0])

    def plan(self, thing: Object, action: str, due_at: int) -> None:
        """Let something happen to an object, in place of the same action planned before."""
        self.db.execute(
            "INSERT INTO agenda (object, action, customer, due_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (object, action) DO UPDATE SET due_at = excluded.due_at",
            (thing["id"], action, thing.get("customer"), due_at),
        )

    def unplan(self, identifier: str, *actions: str) -> None:
        """Let it not happen; without actions, none of what was planned for the object."""
        for action in actions:
            self.db.execute("DELETE FROM agenda WHERE object = ? AND action = ?", (identifier, action))
        if not actions:
            self.db.execute("DELETE FROM agenda WHERE object = ?", (identifier,))

    def next_due(self, clock: str | None, until: int) -> Due | None:
        """The next thing of the customers on a test clock, or of those on none; it is taken off the agenda.

        A schedule's phase comes before the renewal of the same moment, which is to have its prices.
        """
        row = self.db.execute(
            "SELECT a.id, a.object, a.action, a.due_at FROM agenda a"
            " LEFT JOIN objects c ON c.id = a.customer"
            " WHERE json_extract(c.body, '$.test_clock') IS ? AND a.due_at <= ?"
            " ORDER BY a.due_at, a.action <> 'phase', a.id LIMIT 1",
            (clock, until),
        ).fetchone()
        if row is None:
            return None
        self.db.execute("DELETE FROM agenda WHERE id = ?", (row[0],))
        return Due(*row[1:])

    def note(self, name: str) -> Any:
        """A value kept under a name; none when there is none."""
        row = self.db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else orjson.loads(row[0])

    def keep(self, name: str, value: Any) -> None:
        """Keep a value under a name."""
        self.db.execute("INSERT OR REPLACE INTO notes (name, value) VALUES (?, ?)", (name, _text(value)))


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
