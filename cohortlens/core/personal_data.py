"""Where the data of one person lie: what a slice says about its own tables, and the work done on them.

A slice makes a store of its tables; ``consent.personal_data`` says what a store is, and the requests of
persons (access, portability, erasure) go through all of them. A table with a column ``customer_id`` or
``identity_id`` belongs to exactly one store: a test walks the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import text

from cohortlens.core.db import Database
from cohortlens.core.errors import Unavailable
from cohortlens.core.ids import TenantId

Rows = list[dict[str, Any]]
CUSTOMER, IDENTITY = "customer_id", "identity_id"


def as_word(external_id: str) -> str | None:
    """A regular expression of PostgreSQL that finds an identifier in a text, as a word of its own.

    A short identifier, such as 4, is not found in 1997-04.csv.

    Args:
        external_id: The tenant's identifier of a person.

    Returns:
        The expression; None, which matches nothing, for an empty identifier.
    """
    if not external_id:
        return None
    # A backslash before what is no letter or digit makes it stand for itself.
    literal = "".join(one if one.isalnum() else f"\\{one}" for one in external_id)
    return f"(^|[^[:alnum:]]){literal}([^[:alnum:]]|$)"


class StoreBusy(Unavailable):
    """Work that began before an erasure still holds data of the person; the step is repeated later."""

    reason = "STORE_BUSY"

    def __init__(self, work: str, retry_delay_s: float = 2.0) -> None:
        super().__init__(
            f"{work} is under way; the erasure goes on when it has ended", retry_delay_s=retry_delay_s
        )


@dataclass(frozen=True)
class Subject:
    """The person a request is about.

    Attributes:
        identity_id: Whose decisions they are.
        customer_id: The customer; None for a person who was never imported, or is deleted.
        external_id: The tenant's own identifier; empty once the person was erased.
    """

    identity_id: UUID
    customer_id: UUID | None
    external_id: str


@dataclass(frozen=True)
class PersonalTable:
    """A table with rows of persons.

    Attributes:
        name: The table.
        by: Column that says whose row it is.
        hidden: Columns that no export shows: copies of others, and what is not about the person.
        decoded: Reads a column of bytes for an export; a column of bytes without one stays hexadecimal.
    """

    name: str
    by: str = CUSTOMER
    hidden: frozenset[str] = frozenset()
    decoded: Mapping[str, Callable[[bytes], Any]] = field(default_factory=dict)


class TableStore:
    """A store that consists of tables alone; each is named by its columns, so new columns are exported too.

    Args:
        db: The database.
        name: Name of the store in manifests.
        tables: The tables, in the order in which their rows can be deleted.
        is_provided: Whether the person gave these data, or was observed: article 20 covers them.
    """

    def __init__(
        self, db: Database, name: str, tables: Sequence[PersonalTable], *, is_provided: bool = False
    ) -> None:
        self.db = db
        self.name = name
        self.is_provided = is_provided
        self._tables = tuple(tables)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables the store answers for."""
        return tuple(table.name for table in self._tables)

    async def count(self, tenant_id: TenantId, subject: Subject) -> int:
        """Rows of the person."""
        found = 0
        async with self.db.tenant_transaction(tenant_id) as tx:
            for table in self._tables:
                query = f"SELECT count(*) FROM {table.name} WHERE {_theirs(table)}"  # noqa: S608 - our names
                found += int(await tx.scalar(text(query), _named(table, subject)) or 0)
        return found

    async def export(self, tenant_id: TenantId, subject: Subject) -> dict[str, Rows]:
        """The rows of the person by table."""
        found: dict[str, Rows] = {}
        async with self.db.tenant_transaction(tenant_id) as tx:
            for table in self._tables:
                query = f"SELECT to_jsonb(t) FROM {table.name} t WHERE {_theirs(table)}"  # noqa: S608
                rows = (await tx.scalars(text(query), _named(table, subject))).all()
                found[table.name] = [_shown(table, row) for row in rows]
        return found

    async def erase(self, tenant_id: TenantId, subject: Subject) -> None:
        """Delete the rows of the person; a second call finds none."""
        async with self.db.tenant_transaction(tenant_id) as tx:
            for table in self._tables:
                query = f"DELETE FROM {table.name} WHERE {_theirs(table)}"  # noqa: S608 - our names
                await tx.execute(text(query), _named(table, subject))


def _theirs(table: PersonalTable) -> str:
    return f"tenant_id = app.tid() AND {table.by} = :person"


def _named(table: PersonalTable, subject: Subject) -> dict[str, Any]:
    return {"person": subject.identity_id if table.by == IDENTITY else subject.customer_id}


def _shown(table: PersonalTable, row: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in row.items():
        if name == "tenant_id" or name in table.hidden:
            continue
        read = table.decoded.get(name)
        # PostgreSQL writes bytes in JSON as it writes them in text: \x and hex digits.
        shown[name] = value if read is None or value is None else read(bytes.fromhex(value[2:]))
    return shown
