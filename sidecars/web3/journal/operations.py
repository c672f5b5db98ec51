"""An operation has its effect once: its answer is stored in the transaction of the effect."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from uuid import UUID

from cohortlens.core.errors import InvalidArgument
from sidecars.web3.journal.pool import JournalTransaction

KEPT_DAYS = 90


class OperationReused(InvalidArgument):
    """The same operation came before with another request."""

    reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__(
            "The operation_id was used before with another request; make a new one for another request."
        )


def request_digest(method: str, request: bytes) -> bytes:
    """SHA-256 of what was asked.

    Args:
        method: Name of the RPC, so that one id cannot serve two methods.
        request: The request, serialised deterministically.
    """
    return hashlib.sha256(method.encode() + b"\0" + request).digest()


async def run_once(
    tx: JournalTransaction,
    tenant_id: UUID,
    operation_id: UUID,
    request_sha256: bytes,
    make: Callable[[], Awaitable[bytes]],
) -> bytes:
    """The answer of an operation: the stored one, or what ``make`` gives now and leaves stored.

    The same operation twice at once: the second waits for the first and answers the same.

    Args:
        tx: A transaction of ``tenant_id``.
        tenant_id: Whose operation it is.
        operation_id: Chosen by the caller from step and source.
        request_sha256: See ``request_digest``.
        make: Has the effect in ``tx`` and gives the serialised answer; no network call inside.

    Raises:
        OperationReused: The id was used with another request.
    """
    await tx.fetchval(
        "SELECT pg_advisory_xact_lock(hashtextextended('web3.operation' || $1::text || $2::text, 0))",
        str(tenant_id),
        str(operation_id),
    )
    stored = await tx.fetchrow(
        "SELECT request_sha256, response FROM operation WHERE tenant_id = $1 AND operation_id = $2",
        tenant_id,
        operation_id,
    )
    if stored is not None:
        if stored["request_sha256"] != request_sha256:
            raise OperationReused
        return bytes(stored["response"])
    response = await make()
    await tx.execute(
        "INSERT INTO operation (tenant_id, operation_id, request_sha256, response) VALUES ($1, $2, $3, $4)",
        tenant_id,
        operation_id,
        request_sha256,
        response,
    )
    return response


async def forget_operations(tx: JournalTransaction) -> int:
    """Delete operations older than ``KEPT_DAYS`` of all tenants, 10,000 at most; answers how many.

    Args:
        tx: A transaction of all tenants.
    """
    return await tx.execute(
        "DELETE FROM operation WHERE (tenant_id, operation_id) IN"
        " (SELECT tenant_id, operation_id FROM operation"
        " WHERE created_at < now() - make_interval(days => $1) LIMIT 10000)",
        KEPT_DAYS,
    )
