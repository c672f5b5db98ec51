"""Who pays for a tenant, and whether it is subscribed: what checkout and changes read and write about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.payments.event_types import RECONCILE, WRITTEN
from cohortlens.core.ids import TenantId, uuid7


@dataclass(frozen=True)
class Payer:
    """Whom the provider's customer is made for.

    Attributes:
        name: Name of the tenant.
        email: Address of the person who opens the checkout.
    """

    name: str
    email: str


@dataclass(frozen=True)
class Account:
    """The provider's customer of a tenant.

    Attributes:
        customer_id: Identifier.
        livemode: Whether it is about real money.
    """

    customer_id: str
    livemode: bool


class PayerRows:
    """What is known of a tenant's payments.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: The tenant.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def has_living_subscription(self, *, livemode: bool) -> bool:
        """Whether a subscription runs, or its first payment is under way."""
        return bool(
            await self._scalar(
                "SELECT EXISTS (SELECT FROM subscriptions WHERE tenant_id = :tenant AND livemode = :livemode"
                " AND status IN ('TRIALING', 'ACTIVE', 'PAST_DUE', 'UNPAID', 'PAUSED', 'INCOMPLETE'))",
                livemode=livemode,
            )
        )

    async def has_subscribed(self) -> bool:
        """Whether there has ever been a subscription."""
        return bool(
            await self._scalar(
                "SELECT EXISTS (SELECT FROM subscriptions WHERE tenant_id = :tenant AND status <> 'NONE')"
            )
        )

    async def unpaid_since(self, subscription_id: str) -> datetime | None:
        """Since when a subscription is past due, as far as it is stored; None when it is not."""
        found: datetime | None = await self._scalar(
            "SELECT past_due_since FROM subscriptions WHERE tenant_id = :tenant"
            " AND stripe_subscription_id = :subscription",
            subscription=subscription_id,
        )
        return found

    async def customer_id(self, *, livemode: bool) -> str:
        """The provider's customer of the tenant; empty when there is none."""
        found = await self._scalar(
            "SELECT stripe_customer_id FROM billing_profiles WHERE tenant_id = :tenant"
            " AND livemode = :livemode AND customer_deleted_at IS NULL",
            livemode=livemode,
        )
        return str(found or "")

    async def account(self) -> Account | None:
        """The provider's customer of the tenant, of whichever mode; None when there never was one."""
        row = (
            await self._tx.execute(
                text("SELECT stripe_customer_id, livemode FROM billing_profiles WHERE tenant_id = :tenant"),
                {"tenant": self._tenant_id},
            )
        ).one_or_none()
        return None if row is None else Account(row.stripe_customer_id, row.livemode)

    async def payer(self, user_id: UUID) -> Payer:
        """The tenant's name and a member's address."""
        row = (
            await self._tx.execute(
                text("SELECT tenant_display_name, email FROM app.auth_me(:tenant, :user)"),
                {"tenant": self._tenant_id, "user": user_id},
            )
        ).one()
        return Payer(row.tenant_display_name, row.email)

    async def store_customer(self, customer_id: str, *, livemode: bool, email: str, instead_of: str) -> str:
        """Store the provider's customer of the tenant, unless another process was faster.

        Args:
            customer_id: The customer.
            livemode: Whether it is about real money.
            email: Its address.
            instead_of: The customer that is gone at the provider; empty for none.

        Returns:
            The customer that is stored.
        """
        await self._tx.execute(
            text(
                "INSERT INTO billing_profiles AS p (tenant_id, stripe_customer_id, livemode, email)"
                " VALUES (:tenant, :customer, :livemode, :email)"
                " ON CONFLICT (tenant_id) DO UPDATE SET stripe_customer_id = EXCLUDED.stripe_customer_id,"
                " livemode = EXCLUDED.livemode, email = EXCLUDED.email, has_payment_method = false,"
                " customer_deleted_at = NULL, fetch_no = 0, created_at = clock_timestamp(),"
                " updated_at = clock_timestamp()"
                " WHERE p.livemode <> EXCLUDED.livemode OR p.customer_deleted_at IS NOT NULL"
                " OR p.stripe_customer_id = :instead"
            ),
            {
                "tenant": self._tenant_id,
                "customer": customer_id,
                "livemode": livemode,
                "email": email,
                "instead": instead_of,
            },
        )
        return await self.customer_id(livemode=livemode)

    async def ask_refresh(self, customer_id: str, *, livemode: bool) -> None:
        """Have jobs take over what the provider says of the customer; happens if the transaction commits."""
        await self._tx.execute(
            text(
                "SELECT app.billing_event_store(:event, :type, :livemode, '', :customer, '', '{}',"
                " clock_timestamp(), false)"
            ),
            {
                "event": f"{WRITTEN}{uuid7()}",
                "type": RECONCILE,
                "livemode": livemode,
                "customer": customer_id,
            },
        )

    async def _scalar(self, statement: str, **values: Any) -> Any:
        return await self._tx.scalar(text(statement), {"tenant": self._tenant_id, **values})
