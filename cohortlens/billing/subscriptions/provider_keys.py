"""The key that each write to the payment provider carries, so that a repeated one does its work once."""

from __future__ import annotations

import hashlib
from uuid import UUID

from cohortlens.core.idempotency import held
from cohortlens.core.ids import uuid7


def provider_key(tenant_id: UUID, rpc: str, request_id: UUID | str, step: str) -> str:
    """The idempotency key of one step of one request.

    Args:
        tenant_id: The tenant.
        rpc: Method that the step belongs to, such as ``ChangePlan``.
        request_id: What the repeats of the request have in common.
        step: Name of the step.
    """
    # Lengths go in front, so that no two lists of parts read the same.
    parts = [str(tenant_id), rpc, str(request_id), step]
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()


def request_id() -> UUID:
    """What all repeats of the call under way have in common; a call without a key has no repeats."""
    claim = held()
    return uuid7() if claim is None else claim.id
