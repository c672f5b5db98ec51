"""The use cases of consent on a real database, and a tenant that has published a notice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cohortlens.consent.acts import Act, ConsentActs
from cohortlens.consent.history import ConsentHistory
from cohortlens.consent.models import ActType
from cohortlens.consent.notices import NoticesService
from cohortlens.consent.purposes import PurposesService
from cohortlens.consent.receipts import Receipts
from cohortlens.core.db import Database
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.access.signing_keys import RECEIPT_KEYS, SigningKeys
from tests.fixtures.tenants import RegisteredTenant

KEK = bytes(range(32))
CONTROLLER = {
    "name": "Corner Shop Ltd",
    "address": "1 High Street, Dublin",
    "contact": "privacy@shop.example",
    "country": "IE",
    "storage_countries": ["IE"],
    "authority": "Data Protection Commission",
    "rights_url": "https://shop.example/privacy",
}
ALL = ["data_sharing", "marketing", "profiling", "rewards"]


@dataclass
class Crew:
    """The use cases on one clock that a test moves.

    Attributes:
        tenant: Who calls.
        purposes: Use cases of purposes.
        notices: Use cases of notices.
        acts: Use cases of decisions.
        history: Use cases that read them.
        receipts: Use cases of receipts.
        moment: The time in a list, so that it can be set.
        notice: The notice that tells of all purposes.
    """

    tenant: RegisteredTenant
    purposes: PurposesService
    notices: NoticesService
    acts: ConsentActs
    history: ConsentHistory
    receipts: Receipts
    moment: list[datetime]
    notice: UUID | None = None

    @property
    def ctx(self) -> Any:
        """A request of the owner."""
        return self.tenant.context()

    async def publish(self, content: str = "We group customers by how they buy.", **values: Any) -> UUID:
        """Publish the next version of the notice about all purposes."""
        made = await self.notices.publish(
            self.ctx,
            values.get("key", "website"),
            values.get("version", 0),
            values.get("locale", "en"),
            content,
            [(key, 0) for key in values.get("purposes", ALL)],
            CONTROLLER,
        )
        return made.id

    async def act(self, type_: ActType, customer: str = "external:ann", **values: Any) -> Any:
        """Record a decision about ``profiling``, unless other purposes are named."""
        purposes = values.pop("purposes", [("profiling", 0)])
        if type_ in (ActType.GIVEN, ActType.REAFFIRMED):
            values.setdefault("notice_id", self.notice)
        return await self.acts.record(self.ctx, Act(customer, type_, purposes, **values))

    async def state(self, identity: UUID, purpose: str = "profiling") -> str:
        """The state of a person as the history tells it."""
        (found,) = await self.history.of_identity(self.ctx, identity, [purpose])
        return found.state.value


async def crew_of(db: Database, tenant: RegisteredTenant) -> Crew:
    """Wire the use cases and publish a notice."""
    moment = [datetime.now(UTC)]
    keys, clock = TenantKeys(KEK), lambda: moment[0]
    signing = SigningKeys(db, KEK, RECEIPT_KEYS)
    await signing.ensure()
    receipts = Receipts(db, signing)
    crew = Crew(
        tenant,
        PurposesService(db, clock),
        NoticesService(db, clock),
        ConsentActs(db, keys, receipts, clock),
        ConsentHistory(db, keys, clock),
        receipts,
        moment,
    )
    crew.notice = await crew.publish()
    return crew


def earlier(crew: Crew, **span: float) -> datetime:
    """A time before now."""
    return crew.moment[0] - timedelta(**span)
