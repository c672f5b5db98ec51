"""The rows of questions and stored answers; the only SQL that changes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import plain_uuid, uuid7
from cohortlens.marketplace.models import Agreement
from cohortlens.marketplace.questions import Question


@dataclass(frozen=True)
class Asked:
    """A question as it was asked; ``answer`` is None where it was never computed."""

    id: UUID
    question: dict[str, Any]
    revision: int
    charged_milli: int
    answer: bytes | None
    created_at: datetime


@dataclass(frozen=True)
class Place:
    """Where an answer is stored: the same for everybody who asks the same of the same data."""

    offer_id: UUID
    offer_version: int
    purpose: str
    revision: int
    question_sha256: bytes


_PLACE = (
    "tenant_id = app.tid() AND offer_id = :offer_id AND offer_version = :offer_version "
    "AND purpose = :purpose AND revision = :revision AND question_sha256 = :question_sha256"
)
_PAID = "buyer_id = :buyer AND charged_milli > 0"


class QueryRows:
    """Questions of the transaction's tenant, who is the seller; a buyer reads its own.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def is_charged(self, place: Place) -> bool:
        """Whether an answer of this place was paid for before, computed or not."""
        query = f"SELECT EXISTS (SELECT 1 FROM market_answers WHERE {_PLACE})"  # noqa: S608 - our names
        return bool(await self._tx.scalar(text(query), vars(place)))

    async def is_told(self, place: Place, buyer_id: UUID) -> bool:
        """Whether a buyer has paid for the answer of this place before."""
        query = f"SELECT EXISTS (SELECT 1 FROM market_queries WHERE {_PLACE} AND {_PAID})"  # noqa: S608
        return bool(await self._tx.scalar(text(query), {**vars(place), "buyer": buyer_id}))

    async def is_paid(self, query_id: UUID, place: Place, buyer_id: UUID) -> bool:
        """Whether a question, charged for one place, may be answered from another: all of it was paid."""
        query = (
            f"SELECT (pool_milli > 0 OR EXISTS (SELECT 1 FROM market_answers WHERE {_PLACE})) AND "  # noqa: S608
            f"(charged_milli > 0 OR EXISTS (SELECT 1 FROM market_queries WHERE {_PLACE} AND {_PAID})) "
            "FROM market_queries WHERE tenant_id = app.tid() AND id = :id"
        )
        values = {**vars(place), "buyer": buyer_id, "id": query_id}
        return bool(await self._tx.scalar(text(query), values))

    async def answer(self, place: Place) -> bytes | None:
        """The stored bytes; None while there are none."""
        found = await self._tx.scalar(text(f"SELECT answer FROM market_answers WHERE {_PLACE}"), vars(place))  # noqa: S608
        return None if found is None else bytes(found)

    async def reserve(self, place: Place) -> None:
        """Make the place of an answer, in the transaction that is charged for it."""
        await self._tx.execute(
            text(
                "INSERT INTO market_answers (id, offer_id, offer_version, purpose, revision, question_sha256)"
                " VALUES (:id, :offer_id, :offer_version, :purpose, :revision, :question_sha256)"
                " ON CONFLICT DO NOTHING"
            ),
            {"id": uuid7(), **vars(place)},
        )

    async def keep(self, place: Place, answer: bytes) -> None:
        """Store an answer; bytes that are there stay."""
        await self.reserve(place)
        await self._tx.execute(
            text(f"UPDATE market_answers SET answer = :answer WHERE {_PLACE} AND answer IS NULL"),  # noqa: S608
            {**vars(place), "answer": answer},
        )

    async def ask(
        self,
        query_id: UUID,
        place: Place,
        question: Question,
        agreement: Agreement | None,
        *,
        charged_milli: int,
        pool_milli: int,
    ) -> None:
        """Store a question with what it costs who asks, and what it costs tenant and offer."""
        await self._tx.execute(
            text(
                "INSERT INTO market_queries (id, offer_id, offer_version, purpose, agreement_id, buyer_id, "
                "question, question_sha256, revision, charged_milli, pool_milli) VALUES (:id, :offer_id, "
                ":offer_version, :purpose, :agreement, :buyer, CAST(:question AS jsonb), :question_sha256, "
                ":revision, :charged, :pool)"
            ),
            {
                "id": query_id,
                **vars(place),
                "agreement": None if agreement is None else agreement.id,
                "buyer": None if agreement is None else agreement.buyer_id,
                "question": json.dumps(question.stored()),
                "charged": charged_milli,
                "pool": pool_milli,
            },
        )

    async def answered(self, query_id: UUID, revision: int, answer: bytes) -> None:
        """Store the answer with its question."""
        await self._tx.execute(
            text(
                "UPDATE market_queries SET answer = :answer, revision = :revision "
                "WHERE tenant_id = app.tid() AND id = :id"
            ),
            {"id": query_id, "revision": revision, "answer": answer},
        )

    async def find(self, query_id: UUID) -> Asked | None:
        """One question."""
        rows = await self._tx.execute(text(f"{_SELECT} WHERE id = :id"), {"id": query_id})
        row = rows.one_or_none()
        return None if row is None else _asked(row)

    async def page(self, agreement_id: UUID, after: UUID | None, limit: int) -> list[Asked]:
        """Questions of an agreement, the newest first."""
        rows = await self._tx.execute(
            text(
                f"{_SELECT} WHERE agreement_id = :agreement "
                "AND (CAST(:after AS uuid) IS NULL OR id < :after) ORDER BY id DESC LIMIT :limit"
            ),
            {"agreement": agreement_id, "after": after, "limit": limit},
        )
        return [_asked(row) for row in rows]


_SELECT = "SELECT id, question, revision, charged_milli, answer, created_at FROM market_queries"


def _asked(row: Any) -> Asked:
    return Asked(
        plain_uuid(row.id),
        row.question,
        row.revision,
        row.charged_milli,
        None if row.answer is None else bytes(row.answer),
        row.created_at,
    )
