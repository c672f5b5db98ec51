"""What stands for a customer in audit log and access log: a keyed hash, so that no identifier is stored."""

from __future__ import annotations

import hashlib
import hmac

CUSTOMER_REF = "audit-customer"
"""Purpose of the secret, for ``TenantKeys.mac_key``."""

_BYTES = 16


def customer_ref(secret: bytes, customer: str) -> str:
    """128 bits of an HMAC-SHA-256 of a customer's identifier, hex digits.

    Whoever holds the tenant's key and an identifier can find what was done to that customer; nobody can go
    the other way, and nobody at all once the tenant's key is destroyed.

    Args:
        secret: The tenant's secret of the purpose ``CUSTOMER_REF``.
        customer: The identifier.
    """
    return hmac.digest(secret, customer.encode("utf-8", "replace"), hashlib.sha256)[:_BYTES].hex()
