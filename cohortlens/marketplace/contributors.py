"""Who contributes to a tenant's offers, read in the statement that uses it: consent, restriction, data.

A contributor is a customer whom ``app.usable_customers`` allows for ``sharing.marketplace`` now, and who
allows the purpose of the agreement. Nothing is remembered, so a withdrawal of either is effective in the next
statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import plain_uuid
from cohortlens.marketplace.models import Spec
from cohortlens.marketplace.questions import Question
from cohortlens.marketplace.specs import bounds

ACTIVITY: Final = "sharing.marketplace"
_WHO = f"""contributors AS MATERIALIZED (
  SELECT customer_id AS id FROM app.usable_customers('{ACTIVITY}')
   WHERE CAST(:purpose AS text) = ''
      OR customer_id IN (SELECT customer_id FROM app.purpose_customers(CAST(:purpose AS text))))
"""  # noqa: S608 - our name
_DIGEST = """(SELECT sha256(convert_to(concat_ws('|',
    (SELECT string_agg(id::text, ',' ORDER BY id) FROM contributors),
    (SELECT data_revision FROM customer_data WHERE tenant_id = app.tid()),
    (SELECT id FROM segmentation_runs WHERE tenant_id = app.tid() AND current)), 'UTF8')))"""
_STANDING = text(f"WITH {_WHO} SELECT {_DIGEST} AS digest, (SELECT count(*) FROM contributors) AS persons")  # noqa: S608
_PERMITTED = text(
    f"WITH {_WHO} SELECT h.key FROM purpose_heads h WHERE h.tenant_id = app.tid() AND NOT EXISTS ("  # noqa: S608 - our names
    "SELECT id FROM contributors EXCEPT SELECT customer_id FROM app.purpose_customers(h.key)) ORDER BY h.key"
)
_PURPOSES = text("SELECT key FROM purpose_heads WHERE tenant_id = app.tid() ORDER BY key")
_IDENTITIES = text(
    f"WITH {_WHO} SELECT i.id FROM contributors c JOIN consent_identities i "  # noqa: S608 - our names
    "ON i.tenant_id = app.tid() AND i.customer_id = c.id ORDER BY i.id"
)
_KNOWN = """known AS (
  SELECT c.country, coalesce(p.spend, 0) AS spend, to_char(p.first_day, 'YYYY-MM') AS cohort,
         to_char(p.last_day, 'YYYY-MM') AS month, s.segment_key AS segment
    FROM contributors k
    JOIN customers c ON c.tenant_id = app.tid() AND c.id = k.id
    LEFT JOIN (SELECT customer_id, sum(amount_minor - returns_minor) AS spend,
                      min(day) FILTER (WHERE orders > 0) AS first_day,
                      max(day) FILTER (WHERE orders > 0) AS last_day
                 FROM purchase_days WHERE tenant_id = app.tid() GROUP BY customer_id) p
      ON p.customer_id = k.id
    LEFT JOIN (SELECT g.customer_id, g.segment_key FROM segmentation_runs r
                 JOIN segments g ON g.tenant_id = r.tenant_id AND g.run_id = r.id
                WHERE r.tenant_id = app.tid() AND r.current) s ON s.customer_id = k.id)"""


@dataclass(frozen=True)
class Standing:
    """Who contributes now: a digest that changes with them or their data, and how many they are."""

    digest: bytes
    persons: int


@dataclass(frozen=True)
class Counted:
    """True figures, before noise: persons and clipped sum, minor units, by cell. Never leaves the process."""

    standing: Standing
    cells: Mapping[tuple[str, ...], tuple[int, int]]


class Contributors:
    """Contributors of the transaction's tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        purpose: What answers are used for, which they must allow too; empty for the offer itself.
    """

    def __init__(self, tx: AsyncConnection, purpose: str = "") -> None:
        self._tx, self._purpose = tx, {"purpose": purpose}

    async def standing(self) -> Standing:
        """Who they are now."""
        row = (await self._tx.execute(_STANDING, self._purpose)).one()
        return Standing(bytes(row.digest), row.persons)

    async def permitted(self) -> tuple[str, ...]:
        """Purposes that every one of them allows."""
        return tuple(await self._tx.scalars(_PERMITTED, self._purpose))

    async def purposes(self) -> tuple[str, ...]:
        """All purposes of the tenant."""
        return tuple(await self._tx.scalars(_PURPOSES))

    async def identities(self) -> list[UUID]:
        """Their consent identities, who can be owed something."""
        return [plain_uuid(one) for one in await self._tx.scalars(_IDENTITIES, self._purpose)]

    async def counted(self, spec: Spec, question: Question) -> Counted:
        """The true figures of a question; each contributor is in one cell at most."""
        values: dict[str, Any] = {"clip": spec.clip_minor, **self._purpose}
        columns = {name: _column(spec, name, values) for name in _names(question)}
        wheres = []
        kept = dict(question.filters)
        for at, (name, column) in enumerate(columns.items()):
            offered = spec.dimension(name)
            values[f"kept{at}"] = list(kept.get(name) or (offered.values if offered else ()))
            wheres.append(f"{column} = ANY (CAST(:kept{at} AS text[]))")
        cell = ", ".join(columns[name] for name in question.dimensions)
        where = f" WHERE {' AND '.join(wheres)}" if wheres else ""
        query = (
            f"WITH {_WHO}, {_KNOWN}, cells AS (SELECT ARRAY[{cell}]::text[] AS cell, count(*) AS persons, "  # noqa: S608
            f"sum(least(greatest(spend, 0), CAST(:clip AS bigint)))::bigint AS total "
            f"FROM known{where} GROUP BY 1) "
            f"SELECT {_DIGEST} AS digest, (SELECT count(*) FROM contributors) AS persons, "
            "(SELECT jsonb_agg(jsonb_build_array(to_jsonb(cell), persons, total)) FROM cells) AS cells"
        )
        row = (await self._tx.execute(text(query), values)).one()
        cells = {tuple(one[0]): (int(one[1]), int(one[2])) for one in row.cells or []}
        return Counted(Standing(bytes(row.digest), row.persons), cells)


def _names(question: Question) -> list[str]:
    return sorted({*question.dimensions, *(name for name, _values in question.filters)})


def _column(spec: Spec, name: str, values: dict[str, Any]) -> str:
    """SQL of a dimension; names come from the closed list, values are parameters."""
    if name != "band":
        return {"segment": "segment", "country": "country", "cohort": "cohort", "month": "month"}[name]
    offered = spec.dimension(name)
    parts = []
    for at, band in enumerate(offered.values if offered else ()):
        least, most = bounds(band)
        values |= {f"band{at}": band, f"least{at}": least, f"most{at}": most}
        parts.append(
            f"WHEN greatest(spend, 0) >= CAST(:least{at} AS bigint) AND (CAST(:most{at} AS bigint) IS NULL "
            f"OR greatest(spend, 0) <= :most{at}) THEN CAST(:band{at} AS text)"
        )
    return f"CASE {' '.join(parts)} END"
