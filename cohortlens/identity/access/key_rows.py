"""Every statement about signing keys; they belong to the installation, not to a tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

_KEYS_LOCK = 0x434C4B59
_COLUMNS = (
    "kid, key_set, state, public_key, private_enc, created_at, retire_at,"
    " CASE WHEN state <> 'NEXT' THEN coalesce(activated_at, created_at) END AS activated_at,"
    " extract(epoch FROM retire_at - clock_timestamp()) AS retires_in_s"
)


@dataclass(frozen=True)
class KeyRow:
    """A signing key as stored.

    Attributes:
        kid: Its identifier.
        key_set: What it signs: access or audit.
        state: NEXT, ACTIVE, RETIRING or RETIRED.
        public_key: Public half, 32 bytes.
        private_enc: Sealed private half.
        created_at: When it was made and published.
        activated_at: When it began to sign.
        retire_at: When it stops to verify.
        retires_in_s: Seconds until then; None before it retires.
    """

    kid: str
    key_set: str
    state: str
    public_key: bytes
    private_enc: bytes
    created_at: datetime
    activated_at: datetime | None
    retire_at: datetime | None
    retires_in_s: float | None


class SigningKeyRows:
    """The signing keys of one set.

    Args:
        tx: A connection inside a transaction.
        key_set: The set.
    """

    def __init__(self, tx: AsyncConnection, key_set: str) -> None:
        self._tx = tx
        self._set = key_set

    async def lock(self) -> None:
        """Wait until no other process changes keys; released with the transaction."""
        await self._tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _KEYS_LOCK})

    async def live(self) -> list[KeyRow]:
        """Keys that verify or will."""
        return await self._read(
            "(state IN ('NEXT', 'ACTIVE') OR state = 'RETIRING' AND retire_at > clock_timestamp())"
        )

    async def all(self) -> list[KeyRow]:
        """Every key there ever was."""
        return await self._read("true")

    async def add(self, kid: str, public_key: bytes, private_enc: bytes, state: str) -> None:
        """Store a key, NEXT or ACTIVE."""
        await self._tx.execute(
            text(
                "INSERT INTO signing_keys (kid, key_set, public_key, private_enc, state)"
                " VALUES (:kid, :set, :public, :private, :state)"
            ),
            {"kid": kid, "set": self._set, "public": public_key, "private": private_enc, "state": state},
        )

    async def retire(self) -> int:
        """Let keys whose time to verify is over be RETIRED; answers how many."""
        retired = await self._tx.execute(
            text(
                "UPDATE signing_keys SET state = 'RETIRED'"
                " WHERE key_set = :set AND state = 'RETIRING' AND retire_at <= clock_timestamp()"
            ),
            {"set": self._set},
        )
        return int(retired.rowcount)

    async def active_age_s(self) -> float:
        """Seconds for which the ACTIVE key has been signing."""
        age = await self._tx.scalar(
            text(
                "SELECT extract(epoch FROM clock_timestamp() - coalesce(activated_at, created_at))"
                " FROM signing_keys WHERE key_set = :set AND state = 'ACTIVE'"
            ),
            {"set": self._set},
        )
        return float(age or 0.0)

    async def promote(self, min_age_s: int, retiring_s: int) -> str | None:
        """Make NEXT the ACTIVE key if it is old enough and let the old one retire; answers its identifier."""
        kid = await self._tx.scalar(
            text(
                "SELECT kid FROM signing_keys WHERE key_set = :set AND state = 'NEXT'"
                " AND created_at <= clock_timestamp() - make_interval(secs => :age) FOR UPDATE"
            ),
            {"set": self._set, "age": min_age_s},
        )
        if kid is None:
            return None
        await self._tx.execute(
            text(
                "UPDATE signing_keys SET state = 'RETIRING',"
                " retire_at = clock_timestamp() + make_interval(secs => :life)"
                " WHERE key_set = :set AND state = 'ACTIVE'"
            ),
            {"set": self._set, "life": retiring_s},
        )
        await self._tx.execute(
            text(
                "UPDATE signing_keys SET state = 'ACTIVE', activated_at = clock_timestamp() WHERE kid = :kid"
            ),
            {"kid": kid},
        )
        return str(kid)

    async def _read(self, condition: str) -> list[KeyRow]:
        rows = await self._tx.execute(
            text(
                f"SELECT {_COLUMNS} FROM signing_keys WHERE key_set = :set AND {condition}"  # noqa: S608 - one of two constants above
                " ORDER BY created_at, kid"
            ),
            {"set": self._set},
        )
        return [_key(row) for row in rows]


def _key(row: Row[tuple[object, ...]]) -> KeyRow:
    return KeyRow(
        row.kid,
        row.key_set,
        row.state,
        bytes(row.public_key),
        bytes(row.private_enc),
        row.created_at,
        row.activated_at,
        row.retire_at,
        None if row.retires_in_s is None else float(row.retires_in_s),
    )
