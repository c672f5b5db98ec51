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
    revision: int
    question_sha256: bytes


_PLACE = (
    "tenant_id = app.tid() AND offer_id = :offer_id AND offer_version = :offer_version "
    "AND revision = :revision AND question_sha256 = :question_sha256"
)


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

    async def paid(self, query_id: UUID) -> int:
        """What the question itself was charged, in thousandths of epsilon; 0 when its answer was there."""
        query = "SELECT charged_milli FROM market_queries WHERE id = :id"
        return int(await self._tx.scalar(text(query), {"id": query_id}) or 0)

    async def answer(self, place: Place) -> bytes | None:
        """The stored bytes; None while there are none."""
        found = await self._tx.scalar(text(f"SELECT answer FROM market_answers WHERE {_PLACE}"), vars(place))  # noqa: S608
        return None if found is None else bytes(found)

    async def reserve(self, place: Place) -> None:
        """Make the place of an answer, in the transaction that is charged for it."""
        await self._tx.execute(
            text(
                "INSERT INTO market_answers (id, offer_id, offer_version, revision, question_sha256) "
                "VALUES (:id, :offer_id, :offer_version, :revision, :question_sha256) ON CONFLICT DO NOTHING"
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
        charged_milli: int,
    ) -> None:
        """Store a question with its charge."""
        await self._tx.execute(
            text(
                "INSERT INTO market_queries (id, offer_id, offer_version, agreement_id, buyer_id, question, "
                "revision, charged_milli) VALUES (:id, :offer, :version, :agreement, :buyer, "
                "CAST(:question AS jsonb), :revision, :charged)"
            ),
            {
                "id": query_id,
                "offer": place.offer_id,
                "version": place.offer_version,
                "agreement": None if agreement is None else agreement.id,
                "buyer": None if agreement is None else agreement.buyer_id,
                "question": json.dumps(question.stored()),
                "revision": place.revision,
                "charged": charged_milli,
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
