"""What fulfilment holds of a person: credentials, wallets, rewards, and the secrets of what is pinned.

An erasure revokes credentials, lets go of pins and rewards that can still be stopped, and destroys what leads
from commitments to the person. What stands on a public chain stays there: address, amount, reward id.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from cohortlens.consent.fulfilment.ending import Ending
from cohortlens.consent.fulfilment.rows import FulfilmentRows
from cohortlens.consent.fulfilment.steps import Means
from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.core.personal_data import IDENTITY, PersonalTable, StoreBusy, Subject, TableStore

_TABLES = (
    PersonalTable("wallet_challenges", IDENTITY),
    PersonalTable(
        "rewards", IDENTITY, frozenset({"polls", "next_at", "handed_at", "kind"}), {"reward_id": bytes.hex}
    ),
    PersonalTable("wallets", IDENTITY),
    PersonalTable(
        "verifiable_credentials",
        IDENTITY,
        frozenset({"sha256"}),
        {"credential_json": lambda signed: signed.decode()},
    ),
    PersonalTable("consent_fulfilments", IDENTITY, frozenset({"secret_enc", "attempts", "pin_wanted"})),
)
_ERASED = "CUSTOMER_ERASED"
_LEFT = """
SELECT (SELECT count(*) FROM wallet_challenges WHERE tenant_id = app.tid() AND identity_id = :id)
     + (SELECT count(*) FROM wallets WHERE tenant_id = app.tid() AND identity_id = :id)
     + (SELECT count(*) FROM rewards WHERE tenant_id = app.tid() AND identity_id = :id)
     + (SELECT count(*) FROM verifiable_credentials
         WHERE tenant_id = app.tid() AND identity_id = :id AND credential_json IS NOT NULL)
     + (SELECT count(*) FROM consent_fulfilments WHERE tenant_id = app.tid() AND identity_id = :id
           AND (ended_at IS NULL OR secret_enc IS NOT NULL))
     + (SELECT count(*) FROM receipt_pins p JOIN consent_fulfilments f
            ON f.tenant_id = p.tenant_id AND f.event_id = p.event_id
         WHERE f.tenant_id = app.tid() AND f.identity_id = :id AND p.unpinned_at IS NULL)
"""
_EVENTS = "SELECT event_id FROM consent_fulfilments WHERE tenant_id = app.tid() AND identity_id = :id"
_PINS = """
SELECT p.event_id, p.revision, p.pin_id FROM receipt_pins p JOIN consent_fulfilments f
    ON f.tenant_id = p.tenant_id AND f.event_id = p.event_id
 WHERE f.tenant_id = app.tid() AND f.identity_id = :id AND p.unpinned_at IS NULL
"""
_UNPINNED = """
UPDATE receipt_pins SET unpinned_at = clock_timestamp()
 WHERE tenant_id = app.tid() AND event_id = :event AND revision = :revision
"""
# A reward keeps what the chain shows; nothing leads from it to the person any more.
_FORGET = tuple(
    f"{statement} WHERE tenant_id = app.tid() AND identity_id = :id"
    for statement in (
        "DELETE FROM wallet_challenges",
        "UPDATE rewards SET identity_id = NULL, wallet_id = NULL",
        "DELETE FROM wallets",
        "UPDATE verifiable_credentials SET credential_json = NULL",
        "UPDATE consent_fulfilments SET secret_enc = NULL",
    )
)


class FulfilmentStore(TableStore):
    """The tables of fulfilment, and what the sidecar keeps for them.

    Args:
        means: What the steps of fulfilment work with.
    """

    def __init__(self, means: Means) -> None:
        super().__init__(means.db, "fulfilment", _TABLES)
        self._means = means
        self._ending = Ending(means)

    async def count(self, tenant_id: TenantId, subject: Subject) -> int:
        """What still leads to the person."""
        async with self.db.tenant_transaction(tenant_id) as tx:
            return int(await tx.scalar(text(_LEFT), {"id": subject.identity_id}) or 0)

    async def erase(self, tenant_id: TenantId, subject: Subject) -> None:
        """End every fulfilment, then forget whose it was.

        Raises:
            Unavailable: The sidecar does not answer; call again later.
            StoreBusy: A step was under way and has stored something meanwhile.
        """
        for event_id in await self._ended(tenant_id, subject.identity_id):
            await self._ending.run(tenant_id, event_id)
        await self._unpin(tenant_id, subject.identity_id)
        async with self.db.tenant_transaction(tenant_id) as tx:
            open_ = await tx.scalar(
                text(
                    "SELECT count(*) FROM verifiable_credentials WHERE tenant_id = app.tid()"
                    " AND identity_id = :id AND revoked_at IS NULL"
                ),
                {"id": subject.identity_id},
            )
            if open_:
                raise StoreBusy("the revocation of a credential")
            for statement in _FORGET:
                await tx.execute(text(statement), {"id": subject.identity_id})

    async def _ended(self, tenant_id: TenantId, identity_id: UUID) -> list[UUID]:
        async with self.db.tenant_transaction(tenant_id) as tx:
            events = [plain_uuid(one) for one in await tx.scalars(text(_EVENTS), {"id": identity_id})]
            for event_id in events:
                await FulfilmentRows(tx).end(event_id, _ERASED)
        return events

    async def _unpin(self, tenant_id: TenantId, identity_id: UUID) -> None:
        async with self.db.tenant_transaction(tenant_id) as tx:
            pins = (await tx.execute(text(_PINS), {"id": identity_id})).all()
        for pin in pins:
            await self._means.pinner.unpin(tenant_id, plain_uuid(pin.pin_id))
            async with self.db.tenant_transaction(tenant_id) as tx:
                await tx.execute(text(_UNPINNED), {"event": pin.event_id, "revision": pin.revision})
