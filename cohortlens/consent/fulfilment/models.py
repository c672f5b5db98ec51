"""Names, states and identifiers of fulfilment: from a consent to credential, reward and pinned receipt."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from cohortlens.audit.models import Actor
from cohortlens.core.ids import TenantId, plain_uuid

CREDENTIAL_WANTED: Final = "fulfilment.credential"
"""Topic: a consent is to get its credential. Key: the event."""
REWARD_WANTED: Final = "fulfilment.reward"
"""Topic: a consent is to get its reward. Key: the event."""
PIN_WANTED: Final = "fulfilment.pin"
"""Topic: what is pinned about a consent is to be renewed. Key: the event, and ``pin``."""
END_WANTED: Final = "fulfilment.end"
"""Topic: a consent ended. Its key is its own, so that it overtakes a step that is stuck."""

BY_JOBS: Final = Actor("job", "fulfilment")
"""Who acts in the audit log."""

REWARD_OF_CONSENT: Final = 1
"""Kind of a reward: its source is a consent event."""
REWARD_OF_SETTLEMENT: Final = 2
"""Kind of a reward: its source is a settlement entry."""

_REWARD_DOMAIN = b"cohortlens.reward.v1"
_OPERATION_DOMAIN = b"cohortlens.operation.v1"

REWARD_CHANGES: Mapping[str, frozenset[str]] = {
    "HELD": frozenset({"OWED", "CANCELLED"}),
    "OWED": frozenset({"SIGNED", "SENT", "MINED", "FINAL", "CLAIMABLE", "CLAIMED", "CANCELLED", "FAILED"}),
    "SIGNED": frozenset({"OWED", "SENT", "MINED", "FINAL", "FAILED"}),
    "SENT": frozenset({"OWED", "SIGNED", "MINED", "FINAL", "FAILED"}),
    "MINED": frozenset({"OWED", "SIGNED", "SENT", "FINAL", "FAILED"}),
    "CLAIMABLE": frozenset({"OWED", "CLAIMED", "CANCELLED", "FAILED"}),
    "CANCELLED": frozenset({"CLAIMED"}),
    "FAILED": frozenset({"OWED", "SIGNED", "SENT", "MINED", "FINAL", "CLAIMABLE"}),
    "FINAL": frozenset(),
    "CLAIMED": frozenset(),
}
"""State of a reward -> the states it may take next.

States are looked at once a second or less often, so a change may pass over states that lie between; that of
the sidecar, which sees each of them, is finer. HELD is known here alone.
"""

MOVING: Final = frozenset({"OWED", "SIGNED", "SENT", "MINED"})
"""States of a reward that will change by themselves."""
SETTLED: Final = frozenset({"FINAL", "CLAIMABLE", "CLAIMED", "HELD", "SKIPPED", "CANCELLED", "FAILED"})
"""States of a reward about which a receipt can be pinned."""


@dataclass(frozen=True)
class Fulfilment:
    """How far the fulfilment of one consent is.

    Attributes:
        tenant_id: Its tenant.
        event_id: The consent event of kind GIVEN that it is of.
        identity_id: Who gave it.
        purpose_key: For which purpose.
        secret_enc: The sealed secret of its salts; None after an erasure.
        credential_state: PENDING, ISSUING (a call may be under way), ISSUED, REVOKED, SKIPPED, FAILED, DEAD.
        credential_id: The credential, once issued.
        issues: How often a credential was asked for beside the first; more than 0 after a compromised key.
        reward_state: PENDING, SKIPPED, DEAD, or the state of the reward.
        reward_id: The reward, once it was computed.
        pin_state: PENDING, PINNED, SKIPPED, FAILED or DEAD.
        pin_wanted: Revision that is to be pinned; 0 for none yet.
        attempts: Attempts of the step at hand that failed.
        last_reason: Why the last one failed, or why a step was skipped.
        ended_at: When it was seen that the consent has ended.
        end_reason: Why: CONSENT_WITHDRAWN, CONSENT_REFUSED, CONSENT_EXPIRED, CONSENT_INVALIDATED,
            CONSENT_RENEWED, CUSTOMER_ERASED.
    """

    tenant_id: TenantId
    event_id: UUID
    identity_id: UUID
    purpose_key: str
    secret_enc: bytes | None
    credential_state: str
    credential_id: UUID | None
    issues: int
    reward_state: str
    reward_id: bytes | None
    pin_state: str
    pin_wanted: int
    attempts: int
    last_reason: str
    ended_at: datetime | None
    end_reason: str | None

    @property
    def source_id(self) -> UUID:
        """What the sidecar knows the credential by: the event, or an offspring of it after a re-issue."""
        return self.event_id if not self.issues else operation_id(f"issue-{self.issues}", self.event_id)


@dataclass(frozen=True)
class Reward:
    """A reward as the control plane keeps it.

    Attributes:
        tenant_id: Who owes it.
        reward_id: 32 bytes, see ``reward_id_of``.
        kind: ``REWARD_OF_CONSENT`` or ``REWARD_OF_SETTLEMENT``.
        source_id: The event or entry it is for.
        identity_id: Who gets it; None after an erasure.
        purpose_key: The purpose, where it is for a consent.
        preferred_chain: Chain the tariff names; empty for the deployment's.
        amount_micro: Micro-tokens, 1 to 1,000,000,000.
        delivery: MINT, VOUCHER or EPOCH.
        chain: Chain it is paid on; None while it is held.
        recipient: Address it is paid to; None while it is held.
        state: See ``REWARD_CHANGES``.
        reason: Why it is held or failed.
        tx_ref: Transaction hash or signature; empty before it was signed.
        block_height: Height of its block or slot; 0 before it was mined.
        finalized_at: When it became final.
        handed_at: When it was first handed to the sidecar.
        created_at: When it was recorded.
    """

    tenant_id: TenantId
    reward_id: bytes
    kind: int
    source_id: UUID
    identity_id: UUID | None
    purpose_key: str
    preferred_chain: str
    amount_micro: int
    delivery: str
    chain: str | None
    recipient: str | None
    state: str
    reason: str
    tx_ref: str
    block_height: int
    finalized_at: datetime | None
    handed_at: datetime | None
    created_at: datetime


def waiting(tenant_id: TenantId, event_id: UUID, identity_id: UUID, purpose_key: str) -> Fulfilment:
    """The fulfilment of a consent of which nothing was done yet, not even its row."""
    return Fulfilment(
        tenant_id,
        event_id,
        identity_id,
        purpose_key,
        secret_enc=None,
        credential_state="PENDING",
        credential_id=None,
        issues=0,
        reward_state="PENDING",
        reward_id=None,
        pin_state="PENDING",
        pin_wanted=0,
        attempts=0,
        last_reason="",
        ended_at=None,
        end_reason=None,
    )


def reward_id_of(tenant_id: UUID, kind: int, source_id: UUID) -> bytes:
    """The identifier by which a reward is paid once, on whatever chain.

    SHA-256 over the domain ``cohortlens.reward.v1``, the tenant (16 bytes), the kind (1 byte) and the source
    (16 bytes).

    Args:
        tenant_id: Who owes it.
        kind: ``REWARD_OF_CONSENT`` or ``REWARD_OF_SETTLEMENT``.
        source_id: The event or entry it is for.
    """
    return hashlib.sha256(_REWARD_DOMAIN + tenant_id.bytes + bytes((kind,)) + source_id.bytes).digest()


def operation_id(step: str, source_id: UUID) -> UUID:
    """The identifier of a call to the sidecar: the same step of the same source has the same one.

    A UUIDv8 (RFC 9562, section 5.8) of the first 16 bytes of a SHA-256 over step and source.
    """
    digest = hashlib.sha256(_OPERATION_DOMAIN + step.encode() + b"\0" + source_id.bytes).digest()
    value = int.from_bytes(digest[:16], "big")
    value = (value & ~(0xF << 76)) | (0x8 << 76)
    return UUID(int=(value & ~(0x3 << 62)) | (0x2 << 62))


def salt_of(secret: bytes, what: str) -> bytes:
    """The salt of one commitment, 32 bytes: who learns it learns neither the secret nor any other salt.

    Args:
        secret: The secret of the fulfilment, 32 random bytes.
        what: Name of the commitment, such as ``pin/2/receipt``.
    """
    return hmac.digest(secret, what.encode(), hashlib.sha256)


def commitment(salt: bytes, content: bytes) -> str:
    """HMAC-SHA-256 of ``content`` under ``salt``, hexadecimal: says nothing to whoever lacks the salt."""
    return hmac.digest(salt, content, hashlib.sha256).hex()


def fulfilment_of(row: object) -> Fulfilment:
    """A row of ``consent_fulfilments``."""
    values = {name: getattr(row, name) for name in Fulfilment.__dataclass_fields__}
    for name in ("tenant_id", "event_id", "identity_id", "credential_id"):
        if values[name] is not None:
            values[name] = plain_uuid(values[name])
    return Fulfilment(**values)


def reward_of(row: object) -> Reward:
    """A row of ``rewards``."""
    values = {name: getattr(row, name) for name in Reward.__dataclass_fields__}
    for name in ("tenant_id", "source_id", "identity_id"):
        if values[name] is not None:
            values[name] = plain_uuid(values[name])
    return Reward(**values)
