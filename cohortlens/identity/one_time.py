"""Tokens that work once: links to verify an address or reset a password, invitations, second factors.

A token is 256 random bits, and only its SHA-256 is stored. Which tenant it belongs to is found by the token,
so it is looked up through functions of schema ``app``. To use one: ``find`` tells the tenant, then
``consume`` in that tenant's transaction together with the effect, so that two clicks give one success.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import TenantId, plain_uuid

TOKEN_BYTES = 32
TOKEN_CHARACTERS = 43
PURGE_AFTER_S = 7 * 86400


@dataclass(frozen=True)
class OneTimeToken:
    """A token that is good, or was until it was consumed just now.

    Attributes:
        tenant_id: Tenant in whose transaction it was issued.
        subject_id: Whom or what it is about, such as a user.
        data: What was stored with it.
        expires_at: When it ends.
    """

    tenant_id: TenantId
    subject_id: UUID
    data: Mapping[str, Any]
    expires_at: datetime


class OneTimeTokens:
    """Issues and consumes one-time tokens.

    Args:
        tx: A connection inside a transaction; ``issue`` needs one of the tenant.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def issue(
        self,
        use: str,
        tenant_id: TenantId,
        subject_id: UUID,
        life_s: float,
        data: Mapping[str, Any] | None = None,
        *,
        tries: int | None = None,
    ) -> str:
        """Store a new token and answer it: 43 characters of base64url.

        Args:
            use: What it is good for, such as ``reset_password``; a token of one use is none of another.
            tenant_id: Tenant of the transaction.
            subject_id: Whom or what it is about.
            life_s: Seconds until it ends.
            data: JSON object kept with it; personal data and secrets only sealed.
            tries: How often ``attempt`` gives it; without, ``attempt`` never does.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        await self._tx.execute(
            text(
                "INSERT INTO one_time_tokens (tenant_id, token_sha256, use, subject_id, data, tries_left,"
                " expires_at) VALUES (:tenant, :sha, :use, :subject, CAST(:data AS jsonb), :tries,"
                " clock_timestamp() + make_interval(secs => :life))"
            ),
            {
                "tenant": tenant_id,
                "sha": _digest(token),
                "use": use,
                "subject": subject_id,
                "data": json.dumps(dict(data or {})),
                "tries": tries,
                "life": life_s,
            },
        )
        return token

    async def find(self, token: str, use: str) -> OneTimeToken | None:
        """The token if it is still good; it stays so."""
        return await self._call("app.one_time_find", token, use)

    async def consume(self, token: str, use: str) -> OneTimeToken | None:
        """Use up the token; None when it is unknown, of another use, past its time or used already."""
        return await self._call("app.one_time_consume", token, use)

    async def attempt(self, token: str, use: str) -> OneTimeToken | None:
        """Take one of the tries of a token that guards a short code; None when none is left.

        The try counts only once the transaction has committed: commit before the code is looked at.
        """
        return await self._call("app.one_time_try", token, use)

    async def discard(self, use: str, tenant_id: TenantId, subject_id: UUID) -> int:
        """Use up every open token of a use and subject, such as reset links after a password change."""
        return int(
            await self._tx.scalar(
                text("SELECT app.one_time_discard(:tenant, :use, :subject)"),
                {"tenant": tenant_id, "use": use, "subject": subject_id},
            )
            or 0
        )

    async def purge(self, keep_s: int = PURGE_AFTER_S) -> int:
        """Delete the tokens of every tenant that ended more than ``keep_s`` seconds ago; answers how many."""
        return int(await self._tx.scalar(text("SELECT app.one_time_purge(:keep)"), {"keep": keep_s}) or 0)

    async def _call(self, function: str, token: str, use: str) -> OneTimeToken | None:
        if len(token) != TOKEN_CHARACTERS or not token.isascii():
            return None
        row = (
            await self._tx.execute(
                text(f"SELECT * FROM {function}(:sha, :use)"),  # noqa: S608 - one of three names above
                {"sha": _digest(token), "use": use},
            )
        ).one_or_none()
        if row is None:
            return None
        # The driver's own UUID class prints and pickles differently.
        return OneTimeToken(
            TenantId(plain_uuid(row.tenant_id)), plain_uuid(row.subject_id), row.data, row.expires_at
        )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()
