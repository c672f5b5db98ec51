"""What the settings of payments say, and what in them cannot work; standard library only."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_KEY = re.compile(r"(sk|rk)_(test|live)_[A-Za-z0-9_]{4,}")
_SECRET = re.compile(r"whsec_\S{8,}")
_ACCOUNT = re.compile(r"acct_[A-Za-z0-9]{1,64}")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def webhook_secrets(text: str) -> tuple[str, ...]:
    """The secrets of ``COHORTLENS_STRIPE_WEBHOOK_SECRETS``, separated by commas or white space."""
    return tuple(text.replace(",", " ").split())


def payment_faults(key: str, secrets: str, base: str, account: str, *, is_production: bool) -> list[str]:
    """What cannot work, one sentence each, without the secrets themselves; empty when all is well.

    Args:
        key: Value of ``COHORTLENS_STRIPE_API_KEY``; empty for an installation without payments.
        secrets: Value of ``COHORTLENS_STRIPE_WEBHOOK_SECRETS``.
        base: Value of ``COHORTLENS_STRIPE_API_BASE``.
        account: Value of ``COHORTLENS_STRIPE_ACCOUNT``.
        is_production: Whether money is meant.
    """
    faults = []
    if key and _KEY.fullmatch(key) is None:
        faults.append("COHORTLENS_STRIPE_API_KEY=****: expected a secret or restricted key, sk_... or rk_...")
    if any(_SECRET.fullmatch(one) is None for one in webhook_secrets(secrets)):
        faults.append(
            "COHORTLENS_STRIPE_WEBHOOK_SECRETS=****: expected signing secrets whsec_..., separated by commas"
        )
    if secrets and not key:
        faults.append(
            "COHORTLENS_STRIPE_WEBHOOK_SECRETS is set without COHORTLENS_STRIPE_API_KEY: events could be"
            " received and never followed; set both or neither"
        )
    if account and _ACCOUNT.fullmatch(account) is None:
        faults.append(f"COHORTLENS_STRIPE_ACCOUNT={account[:80]!r}: expected an account, acct_...")
    return faults + _base_faults(base, is_production=is_production)


def _base_faults(base: str, *, is_production: bool) -> list[str]:
    if not base:
        return []
    if is_production:
        return [
            "COHORTLENS_STRIPE_API_BASE is set: in production payments go to Stripe itself; leave it unset"
        ]
    parts = urlsplit(base)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return []
    return [
        "COHORTLENS_STRIPE_API_BASE: expected an https address, or an http one of this machine:"
        " the key is sent there"
    ]
