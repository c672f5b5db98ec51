"""Every statement about signing keys."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_KEYS_LOCK = 0x434C4B59


@dataclass(frozen=True)
class KeyRow:
    """A signing key as stored.

    Attributes:
        kid: Its identifier.
        state: NEXT, ACTIVE or RETIRING.
        public_key: Public half, 32 bytes.
        private_enc: Sealed private half.
    """

    kid: str
    state: str
    public_key: bytes
    private_enc: bytes


class SigningKeyRows:
    """The signing keys of access tokens.

    Args:
        tx: A connection inside ``Database.transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def lock(self) -> None:
        """Wait until no other process changes the keys; released with the transaction."""
        await self._tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _KEYS_LOCK})

    async def live(self) -> list[KeyRow]:
        """Keys that verify or will."""
        rows = await self._tx.execute(
            text(
                "SELECT kid, state, public_key, private_enc FROM signing_keys WHERE key_set = 'access' AND"
                " (state IN ('NEXT', 'ACTIVE') OR state = 'RETIRING' AND retire_at > clock_timestamp())"
                " ORDER BY created_at, kid"
            )
        )
        return [KeyRow(row.kid, row.state, bytes(row.public_key), bytes(row.private_enc)) for row in rows]

    async def add(self, kid: str, public_key: bytes, private_enc: bytes, state: str) -> None:
        """Store a key."""
        await self._tx.execute(
            text(
                "INSERT INTO signing_keys (kid, key_set, public_key, private_enc, state)"
                " VALUES (:kid, 'access', :public, :private, :state)"
            ),
            {"kid": kid, "public": public_key, "private": private_enc, "state": state},
        )

    async def promote(self, min_age_s: int, retiring_s: int) -> str | None:
        """Make NEXT the ACTIVE key if it is old enough and let the old one retire; answers its identifier."""
        kid = await self._tx.scalar(
            text(
                "SELECT kid FROM signing_keys WHERE key_set = 'access' AND state = 'NEXT'"
                " AND created_at <= clock_timestamp() - make_interval(secs => :age) FOR UPDATE"
            ),
            {"age": min_age_s},
        )
        if kid is None:
            return None
        await self._tx.execute(
            text(
                "UPDATE signing_keys SET state = 'RETIRED'"
                " WHERE state = 'RETIRING' AND retire_at <= clock_timestamp()"
            )
        )
        await self._tx.execute(
            text(
                "UPDATE signing_keys SET state = 'RETIRING',"
                " retire_at = clock_timestamp() + make_interval(secs => :life)"
                " WHERE key_set = 'access' AND state = 'ACTIVE'"
            ),
            {"life": retiring_s},
        )
        await self._tx.execute(
            text("UPDATE signing_keys SET state = 'ACTIVE' WHERE kid = :kid"), {"kid": kid}
        )
        return str(kid)
