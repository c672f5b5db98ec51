"""The table of checkouts: one open one per tenant, and one process that speaks with the provider about it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.models import Interval
from cohortlens.billing.payments.models import CheckoutSession
from cohortlens.billing.subscriptions.models import Intent, IntentState
from cohortlens.core.ids import TenantId, plain_uuid

_COLUMNS = (
    "id, plan, billing_interval, stripe_price_id, trial_days, success_url, cancel_url, state,"
    " stripe_session_id, url, expires_at"
)


class IntentRows:
    """The checkouts of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: The tenant.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def open(self) -> Intent | None:
        """The open checkout, locked to the end of the transaction; None when there is none."""
        row = await self._one(
            f"SELECT {_COLUMNS} FROM checkout_intents WHERE tenant_id = :tenant AND state = 'OPEN' FOR UPDATE"  # noqa: S608
        )
        return None if row is None else _intent(row)

    async def add(self, intent: Intent, *, livemode: bool) -> bool:
        """Store an open checkout; False when the tenant has one already."""
        done = await self._tx.execute(
            text(
                "INSERT INTO checkout_intents (tenant_id, id, plan, billing_interval, livemode,"
                " stripe_price_id, trial_days, success_url, cancel_url, expires_at) VALUES (:tenant, :id,"
                " :plan, :interval, :livemode, :price, :trial, :success, :cancel, :expires)"
                " ON CONFLICT (tenant_id) WHERE state = 'OPEN' DO NOTHING"
            ),
            {
                "tenant": self._tenant_id,
                "id": intent.intent_id,
                "plan": intent.plan,
                "interval": intent.interval.value,
                "livemode": livemode,
                "price": intent.price_id,
                "trial": intent.trial_days,
                "success": intent.success_url,
                "cancel": intent.cancel_url,
                "expires": intent.expires_at,
            },
        )
        return bool(done.rowcount)

    async def take(self, intent_id: UUID, worker: UUID, seconds: float) -> bool:
        """Let ``worker`` alone speak with the provider about an open checkout for some seconds."""
        return await self._done(
            "UPDATE checkout_intents SET worker = :worker,"
            " working_until = clock_timestamp() + make_interval(secs => CAST(:seconds AS double precision))"
            " WHERE tenant_id = :tenant AND id = :id AND state = 'OPEN'"
            " AND (working_until IS NULL OR working_until < clock_timestamp() OR worker = :worker)",
            id=intent_id,
            worker=worker,
            seconds=seconds,
        )

    async def let_go(self, intent_id: UUID, worker: UUID) -> None:
        """Let the next one speak with the provider about a checkout."""
        await self._done(
            "UPDATE checkout_intents SET worker = NULL, working_until = NULL"
            " WHERE tenant_id = :tenant AND id = :id AND worker = :worker",
            id=intent_id,
            worker=worker,
        )

    async def store(self, intent_id: UUID, worker: UUID, session: CheckoutSession) -> bool:
        """Store the provider's session; False when another worker has taken over."""
        return await self._done(
            "UPDATE checkout_intents SET stripe_session_id = :session, url = :url,"
            " expires_at = :expires, worker = NULL, working_until = NULL"
            " WHERE tenant_id = :tenant AND id = :id AND worker = :worker AND state = 'OPEN'",
            id=intent_id,
            worker=worker,
            session=session.id,
            url=session.url,
            expires=session.expires_at,
        )

    async def close(self, intent_id: UUID, state: IntentState) -> bool:
        """End an open checkout; False when it has ended before."""
        return await self._close("id = :id", state, id=intent_id)

    async def close_session(self, session_id: str, state: IntentState) -> bool:
        """End the open checkout that a session of the provider belongs to; False when there is none."""
        return await self._close("stripe_session_id = :session", state, session=session_id)

    async def _close(self, which: str, state: IntentState, **values: Any) -> bool:
        return await self._done(
            "UPDATE checkout_intents SET state = :state, closed_at = clock_timestamp(), worker = NULL,"  # noqa: S608
            f" working_until = NULL WHERE tenant_id = :tenant AND {which} AND state = 'OPEN'",
            state=state.value,
            **values,
        )

    async def _done(self, statement: str, **values: Any) -> bool:
        done = await self._tx.execute(text(statement), {"tenant": self._tenant_id, **values})
        return bool(done.rowcount)

    async def _one(self, statement: str, **values: Any) -> Any:
        return (await self._tx.execute(text(statement), {"tenant": self._tenant_id, **values})).one_or_none()


async def tidy(tx: AsyncConnection, *, open_hours: int, kept_days: int, limit: int) -> tuple[int, int]:
    """Expire checkouts that nobody can pay on any more, and drop those that are long closed.

    Args:
        tx: A connection inside ``Database.transaction``, as the role of jobs.
        open_hours: Age of an open one.
        kept_days: How long closed ones are kept.
        limit: How many of each at most.

    Returns:
        How many were expired, and how many dropped.
    """
    row = (
        await tx.execute(
            text("SELECT * FROM app.checkouts_tidy(:open, :kept, :limit)"),
            {"open": open_hours, "kept": kept_days, "limit": limit},
        )
    ).one()
    return int(row.expired), int(row.dropped)


def _intent(row: Any) -> Intent:
    expires_at: datetime = row.expires_at
    return Intent(
        intent_id=plain_uuid(row.id),
        plan=row.plan,
        interval=Interval(row.billing_interval),
        price_id=row.stripe_price_id,
        trial_days=row.trial_days,
        success_url=row.success_url,
        cancel_url=row.cancel_url,
        state=IntentState(row.state),
        session_id=row.stripe_session_id or "",
        url=row.url or "",
        expires_at=expires_at,
    )
