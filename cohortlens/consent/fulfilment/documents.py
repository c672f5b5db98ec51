"""What a credential claims and what is pinned about a consent: commitments and words, nothing personal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cohortlens.consent.fulfilment.consents import GivenConsent
from cohortlens.consent.fulfilment.models import Fulfilment, Reward, commitment, salt_of
from cohortlens.core.errors import FailedPrecondition

VALID_AT_MOST = timedelta(days=365)
PIN_VERSION = 1
"""Version of the form of a pin."""


def claims_of(consent: GivenConsent, secret: bytes) -> Mapping[str, Any]:
    """What the credential of a consent says: a closed list that cannot name a person.

    Args:
        consent: The consent.
        secret: The secret of its fulfilment.

    Raises:
        FailedPrecondition: RECEIPT_MISSING: the event has no receipt to commit to.
    """
    claims: dict[str, Any] = {
        "purpose": consent.purpose_key,
        "purposeVersion": consent.purpose_version,
        "activities": sorted(consent.activities),
        "grantedAt": _second(consent.collected_at),
        "recordCommitment": commitment(salt_of(secret, "credential"), record_of(consent)),
    }
    if consent.notice_sha256 is not None:
        claims["noticeDigest"] = consent.notice_sha256.hex()
    return claims


def valid_until(consent: GivenConsent, now: datetime) -> datetime:
    """End of a credential's validity: that of the consent, at most a year from now; whole seconds."""
    limit = now + VALID_AT_MOST
    until = limit if consent.expires_at is None else min(limit, consent.expires_at)
    return until.replace(microsecond=0)


def record_of(consent: GivenConsent) -> bytes:
    """The bytes of the consent's receipt.

    Raises:
        FailedPrecondition: RECEIPT_MISSING.
    """
    if consent.record is None:
        raise FailedPrecondition("the consent event has no receipt", reason="RECEIPT_MISSING")
    return consent.record


def pinned_words(
    of: Fulfilment,
    consent: GivenConsent,
    reward: Reward | None,
    credential_sha256: bytes,
    secret: bytes,
    supersedes: str | None,
    now: datetime,
) -> Mapping[str, Any]:
    """What is signed and pinned about a consent in its present state; the sidecar puts the issuer in.

    The commitments open only with their salts, which the tenant keeps and can show for one of them alone.

    Args:
        of: The fulfilment; its ``pin_wanted`` is the revision.
        consent: The consent.
        reward: Its reward; None where none was owed.
        credential_sha256: Of the credential's bytes.
        secret: The secret of the fulfilment.
        supersedes: CID of the pin whose place it takes; None for the first.
        now: When; only its hour is told.
    """
    revision = of.pin_wanted
    words: dict[str, Any] = {
        "type": "ConsentReceiptPin",
        "version": PIN_VERSION,
        "revision": revision,
        "hour": now.astimezone(UTC).strftime("%Y-%m-%dT%H:00:00Z"),
        "receipt": commitment(pin_salt(secret, revision, "receipt"), record_of(consent)),
        "credential": commitment(pin_salt(secret, revision, "credential"), credential_sha256),
        "reward": reward_word(of),
        "state": "active" if of.ended_at is None else "ended",
    }
    if reward is not None and reward.tx_ref:
        words["transaction"] = commitment(
            pin_salt(secret, revision, "transaction"), transaction_words(reward.chain or "", reward.tx_ref)
        )
    if supersedes is not None:
        words["supersedes"] = supersedes
    return words


def transaction_words(chain: str, tx_ref: str) -> bytes:
    """The bytes that stand for a transaction in its commitment: chain, colon, hash or signature."""
    return f"{chain}:{tx_ref}".encode()


def pin_salt(secret: bytes, revision: int, what: str) -> bytes:
    """The salt of one commitment of one pin, 32 bytes."""
    return salt_of(secret, f"pin/{revision}/{what}")


def reward_word(of: Fulfilment) -> str:
    """The reward as a pin tells it: none, held, pending, claimable, paid, cancelled or failed."""
    return _REWARD_WORDS.get(of.reward_state, "pending")


_REWARD_WORDS = {
    "SKIPPED": "none",
    "HELD": "held",
    "CLAIMABLE": "claimable",
    "CLAIMED": "paid",
    "FINAL": "paid",
    "CANCELLED": "cancelled",
    "FAILED": "failed",
}


def _second(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
