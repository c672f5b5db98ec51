"""The rows of agreements and of their moves; the only SQL that changes them.

They are the seller's. A buyer sees its own, and what a buyer does is written in the seller's name.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.marketplace.models import Agreement, Move
from cohortlens.marketplace.states import ACTIVE, AgreementState, check_move

_FIELDS = tuple(name for name in Agreement.__dataclass_fields__ if name != "moves")
_SELECT = f"SELECT {', '.join(_FIELDS)} FROM market_agreements"  # noqa: S608 - columns of ours


class AgreementRows:
    """Agreements that the transaction's tenant sells or buys.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def find(self, agreement_id: UUID, *, lock: bool = False) -> Agreement | None:
        """One of either side; only its seller's transaction can lock it."""
        end = " FOR UPDATE" if lock else ""
        row = (
            await self._tx.execute(text(f"{_SELECT} WHERE id = :id{end}"), {"id": agreement_id})
        ).one_or_none()
        return None if row is None else _agreement(row, await self._moves([agreement_id]))

    async def page(self, offer_id: UUID | None, after: UUID | None, limit: int) -> list[Agreement]:
        """Those of either side, the newest first."""
        rows = (
            await self._tx.execute(
                text(
                    f"{_SELECT} WHERE (CAST(:offer AS uuid) IS NULL OR offer_id = :offer) "
                    "AND (CAST(:after AS uuid) IS NULL OR id < :after) ORDER BY id DESC LIMIT :limit"
                ),
                {"offer": offer_id, "after": after, "limit": limit},
            )
        ).all()
        moves = await self._moves([plain_uuid(row.id) for row in rows])
        return [_agreement(row, moves) for row in rows]

    async def active(self, offer_id: UUID) -> list[Agreement]:
        """Those of an offer under which questions are answered; their moves are not read."""
        query = text(f"{_SELECT} WHERE tenant_id = app.tid() AND offer_id = :offer AND state = ANY (:states)")
        rows = await self._tx.execute(query, {"offer": offer_id, "states": sorted(ACTIVE)})
        return [_agreement(row, {plain_uuid(row.id): []}) for row in rows]

    async def add(self, asked: Agreement) -> bool:
        """Store a request; False when the buyer has an open one for the offer."""
        values = {name: getattr(asked, name) for name in _FIELDS if name not in {"reason", "agreed_at"}}
        stored = await self._tx.scalar(
            text(
                f"INSERT INTO market_agreements ({', '.join(values)}) "  # noqa: S608 - columns of ours
                f"VALUES ({', '.join(f':{name}' for name in values)}) ON CONFLICT DO NOTHING RETURNING 1"
            ),
            {**values, "state": asked.state.value},
        )
        if stored is None:
            return False
        await self._note(asked, asked.state, "BUYER")
        return True

    async def move(
        self, agreement: Agreement, state: AgreementState, actor: str, reason: str = ""
    ) -> Agreement:
        """Take an agreement, locked, to another state.

        Raises:
            StateTransitionInvalid: The state does not follow.
        """
        check_move(agreement.state, state)
        await self._tx.execute(
            text(
                "UPDATE market_agreements SET state = :state, reason = :reason, agreed_at = CASE "
                "WHEN :state = 'AGREED' THEN clock_timestamp() ELSE agreed_at END, "
                "updated_at = clock_timestamp() WHERE tenant_id = app.tid() AND id = :id"
            ),
            {"id": agreement.id, "state": state.value, "reason": reason or agreement.reason},
        )
        await self._note(agreement, state, actor)
        found = await self.find(agreement.id)
        if found is None:
            raise RuntimeError("a locked agreement is not there")
        return found

    async def _note(self, agreement: Agreement, state: AgreementState, actor: str) -> None:
        await self._tx.execute(
            text(
                "INSERT INTO market_moves (agreement_id, place, buyer_id, state, actor) "
                "SELECT :id, count(*) + 1, :buyer, :state, :actor FROM market_moves "
                "WHERE tenant_id = app.tid() AND agreement_id = :id"
            ),
            {"id": agreement.id, "buyer": agreement.buyer_id, "state": state.value, "actor": actor},
        )

    async def _moves(self, agreement_ids: list[UUID]) -> dict[UUID, list[Move]]:
        found: dict[UUID, list[Move]] = {one: [] for one in agreement_ids}
        rows = await self._tx.execute(
            text(
                "SELECT agreement_id, state, actor, at FROM market_moves "
                "WHERE agreement_id = ANY (CAST(:ids AS uuid[])) ORDER BY agreement_id, place"
            ),
            {"ids": agreement_ids},
        )
        for row in rows:
            found[plain_uuid(row.agreement_id)].append(Move(AgreementState(row.state), row.actor, row.at))
        return found


def _agreement(row: Any, moves: dict[UUID, list[Move]]) -> Agreement:
    values = {name: getattr(row, name) for name in _FIELDS}
    for name in ("tenant_id", "id", "buyer_id", "offer_id"):
        values[name] = plain_uuid(values[name])
    values["tenant_id"], values["buyer_id"] = TenantId(values["tenant_id"]), TenantId(values["buyer_id"])
    values["state"] = AgreementState(values["state"])
    return Agreement(**values, moves=tuple(moves[values["id"]]))
