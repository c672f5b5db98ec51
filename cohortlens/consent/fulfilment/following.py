"""Follows consents: begins the fulfilment of the one that counts, ends those that do not count any more.

What is to be done is read from the state, never from the event that came: so events may come twice, late or
in any order, and the sweep that looks for what was missed does the same thing.
"""

from __future__ import annotations

import os
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.fulfilment.consents import ConsentReading, Standing
from cohortlens.consent.fulfilment.models import CREDENTIAL_WANTED, END_WANTED
from cohortlens.consent.fulfilment.rows import FulfilmentRows
from cohortlens.core.ids import TenantId
from cohortlens.core.outbox import Outbox
from cohortlens.core.tenant_keys import TenantKeys

SECRET_COLUMN = "consent_fulfilments.secret_enc"  # noqa: S105 - the name of a column
"""Name of the column in every seal."""
SECRET_BYTES = 32


async def want(tx: AsyncConnection, topic: str, event_id: UUID) -> None:
    """Have a step of an event done, in the transaction that makes it due.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        topic: The step.
        event_id: The consent event.
    """
    # A key a step: what ends a consent must not wait behind the step that is stuck.
    await Outbox(tx).record(topic, f"{topic}:{event_id}", {"event_id": str(event_id)})


async def reconcile(
    tx: AsyncConnection, keys: TenantKeys, tenant_id: TenantId, identity_id: UUID, purpose_key: str
) -> int:
    """Bring the fulfilments of a person's purpose in line with the consent that counts.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        keys: The tenants' keys.
        tenant_id: Tenant of the transaction.
        identity_id: The person.
        purpose_key: The purpose.

    Returns:
        How many fulfilments were begun or ended.
    """
    rows, changed = FulfilmentRows(tx), 0
    going_on = await rows.going_on(identity_id, purpose_key)
    standing = await ConsentReading(tx).standing(identity_id, purpose_key)
    for one in going_on:
        if not standing.holds(one.event_id):
            await rows.end(one.event_id, standing.end_reason)
            await want(tx, END_WANTED, one.event_id)
            changed += 1
    if _begins(standing) and standing.event_id is not None:
        changed += await _begin(tx, keys, tenant_id, identity_id, purpose_key, standing.event_id)
    return changed


def _begins(standing: Standing) -> bool:
    return standing.state == "GIVEN" and not standing.is_erased and not standing.is_of_file


async def _begin(
    tx: AsyncConnection,
    keys: TenantKeys,
    tenant_id: TenantId,
    identity_id: UUID,
    purpose_key: str,
    event_id: UUID,
) -> int:
    rows = FulfilmentRows(tx)
    if await rows.find(event_id) is not None:
        return 0
    sealer = await keys.sealer(tx, tenant_id, SECRET_COLUMN)
    secret = sealer.seal(os.urandom(SECRET_BYTES), event_id.bytes)
    if not await rows.start(event_id, identity_id, purpose_key, secret):
        return 0
    await want(tx, CREDENTIAL_WANTED, event_id)
    return 1
