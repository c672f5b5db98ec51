"""What the steps of fulfilment share: the services they stand on, faults no retry mends, renewal of pins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.fulfilment.following import SECRET_COLUMN, want
from cohortlens.consent.fulfilment.models import PIN_WANTED, Fulfilment
from cohortlens.consent.fulfilment.rows import FulfilmentRows
from cohortlens.consent.ports import CredentialIssuer, Pinner, RewardLedger
from cohortlens.core import clock
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.tenant_keys import TenantKeys

PERMANENT: Final = frozenset(
    {
        "CLAIMS_INVALID",
        "HOLDER_DID_INVALID",
        "IDEMPOTENCY_KEY_REUSED",
        "PIN_KIND_REFUSED",
        "PIN_TOO_LARGE",
        "RECEIPT_MISSING",
        "REWARD_AMOUNT_INVALID",
        "REWARD_CONFLICT",
        "WALLET_ADDRESS_INVALID",
    }
)
"""Refusals that no further attempt can mend: the step is FAILED at the first."""


@dataclass(frozen=True)
class Means:
    """What the steps work with.

    Attributes:
        db: PostgreSQL as the role of jobs.
        keys: The tenants' keys.
        issuer: Issues and revokes credentials.
        ledger: Pays rewards.
        pinner: Keeps content on IPFS.
        now: The clock.
    """

    db: Database
    keys: TenantKeys
    issuer: CredentialIssuer
    ledger: RewardLedger
    pinner: Pinner
    now: clock.Clock = clock.now

    async def secret(self, tx: AsyncConnection, of: Fulfilment) -> bytes | None:
        """The secret of a fulfilment's salts; None after an erasure."""
        if of.secret_enc is None:
            return None
        sealer = await self.keys.sealer(tx, of.tenant_id, SECRET_COLUMN)
        return sealer.open(bytes(of.secret_enc), of.event_id.bytes)


def is_permanent(error: CohortLensError) -> bool:
    """Whether no further attempt can help."""
    return error.reason in PERMANENT


async def renew_pin(tx: AsyncConnection, of: Fulfilment) -> None:
    """Have what is pinned about a consent replaced, since something it says has changed."""
    revision = of.pin_wanted + 1
    await FulfilmentRows(tx).change(of.event_id, pin_wanted=revision, pin_state="PENDING")
    await want(tx, PIN_WANTED, of.event_id)
