"""The key that each write to the payment provider carries, so that a repeated one does its work once."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from cohortlens.billing.payments.models import PaymentProviderFailed
from cohortlens.core.idempotency import held
from cohortlens.core.ids import uuid7

AnswerT = TypeVar("AnswerT")


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


async def written(
    tenant_id: UUID, rpc: str, step: str, write: Callable[[str], Awaitable[AnswerT]]
) -> AnswerT:
    """What a write to the provider gives, under a key that all repeats of the call under way have in common.

    The provider repeats an answer of 5xx to the same key for a day. So when that is what a repeat gets, it
    writes once more under a key of its own; whatever is written here finds what is there already.

    Args:
        tenant_id: The tenant.
        rpc: Method that the step belongs to.
        step: Name of the step.
        write: Writes under a key.
    """
    claim = held()
    request = uuid7() if claim is None else claim.id
    try:
        return await write(provider_key(tenant_id, rpc, request, step))
    except PaymentProviderFailed:
        if claim is None or not is_repeat():
            raise
        return await write(provider_key(tenant_id, rpc, request, f"{step}:{claim.attempt}"))


def is_repeat() -> bool:
    """Whether an earlier attempt of the call under way broke off, and may have had its effect."""
    claim = held()
    return claim is not None and claim.attempt > 1
