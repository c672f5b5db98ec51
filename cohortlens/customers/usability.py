"""Whose data may be used for what: part of the statement that reads it, so a withdrawal is effective at once.

Nothing is remembered between two statements. Every reader of what customers did puts ``usable`` into its own
WHERE; the SQL functions behind it are of the migration 0029. See ADR 0050.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.ids import plain_uuid


class Activity(StrEnum):
    """What customers' data is used for; a purpose of the tenant covers each."""

    SEGMENTATION = "analytics.segmentation"
    PREDICTION = "analytics.prediction"
    EXPLANATION = "analytics.explanation"
    TRAINING = "training.model"
    RECOMMENDATION = "marketing.recommendation"
    MARKETPLACE = "sharing.marketplace"
    STORAGE = "storage.ipfs"
    REWARD = "rewards.onchain"


class ConsentRequired(FailedPrecondition):
    """None of the customers asked about may be used for the activity; never says who.

    Args:
        activity: What they were to be used for.
        purpose: Purpose of the tenant that covers it; empty when none does.
    """

    reason = "CONSENT_REQUIRED"

    def __init__(self, activity: Activity, purpose: str) -> None:
        why = (
            f"no customer named here allows the purpose {purpose}; record a consent first"
            if purpose
            else f"no purpose covers the activity {activity}; add it to one"
        )
        super().__init__(why, metadata={"purpose": purpose, "activity": activity.value})


def usable(column: str, parameter: str) -> str:
    """SQL that is true for customers who may be used, asked of each row that is read.

    For single customers and pages. A scalar query stays one: an EXISTS becomes a join, which the planner, in
    haste for the first rows of a page, nests so that it reads everybody's consents for each of them.

    Args:
        column: Expression of the customer's identifier; qualified, so that it cannot mean the function's own.
        parameter: Placeholder of the activity, such as ``$2`` or ``CAST(:activity AS text)``.
    """
    asked = f"app.usable_customers({parameter}) u WHERE u.customer_id = {column}"
    return f"coalesce((SELECT true FROM {asked}), false)"  # noqa: S608 - a column and a placeholder of ours


async def join_by_hash(tx: AsyncConnection) -> None:
    """Let the rest of a transaction that reads everybody join by hash.

    A planner that knows no counts yet, as right after a tenant's first import, would compare each row with
    each: minutes for a few thousand customers.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """
    await tx.execute(_BY_HASH)


def usable_among_all(column: str, parameter: str) -> str:
    """As ``usable``, for statements that read all customers of a tenant: one join for all of them."""
    return f"EXISTS (SELECT FROM app.usable_customers({parameter}) u WHERE u.customer_id = {column})"


_BY_HASH = text("SELECT set_config('enable_nestloop', 'off', true)")
_REFUSED = """
SELECT c.id FROM customers c
 WHERE c.tenant_id = app.tid() AND c.id = ANY(CAST(:ids AS uuid[])) AND NOT {allowed}
""".format(allowed=usable("c.id", "CAST(:activity AS text)"))


async def purpose_of(tx: AsyncConnection, activity: Activity) -> str:
    """The purpose of the tenant that covers an activity; empty when none does."""
    found = await tx.scalar(
        text(
            "SELECT purpose_key FROM purpose_activities WHERE tenant_id = app.tid() AND activity = :activity"
        ),
        {"activity": activity.value},
    )
    return found or ""


async def refused(tx: AsyncConnection, customers: Sequence[UUID], activity: Activity) -> set[UUID]:
    """Those of the customers that exist and may not be used."""
    rows = await tx.execute(
        text(_REFUSED),
        {"ids": list(customers), "activity": activity.value},
    )
    return {plain_uuid(row.id) for row in rows}


async def losses(tx: AsyncConnection) -> str:
    """A mark that changes whenever somebody may be used no more; see ``app.consent_losses``."""
    return str(await tx.scalar(text("SELECT app.consent_losses()")))


async def consent_version(tx: AsyncConnection) -> int:
    """Version of the tenant's last change of a consent; 0 for none."""
    return int(await tx.scalar(text("SELECT app.consent_version()")) or 0)
