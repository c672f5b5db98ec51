"""Refresh tokens and the table that decides what becomes of one that is presented.

A token is base64url(version 1 byte | session 16 | counter 8 | first 16 bytes of HMAC-SHA256 of what stands
before, under the session's key). None is stored: the newest counter is enough to compute it again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from cohortlens.core.db import Database
from cohortlens.core.errors import Aborted, CohortLensError
from cohortlens.core.ids import SessionId, TenantId, UserId, uuid7
from cohortlens.core.outbox import Outbox
from cohortlens.core.sealing import Sealer, SealingKeys
from cohortlens.core.telemetry import get_logger
from cohortlens.identity import jws
from cohortlens.identity.models import (
    RefreshReused,
    SessionState,
    TokenExpired,
    TokenInvalid,
    TokenRevoked,
)
from cohortlens.identity.repository import SessionLookups, Sessions
from cohortlens.identity.revocations import Revocations

SESSION_REVOKED = "session.revoked"
IDLE_LIFE_S = 14 * 86400
GRACE_S = 10.0
UNUSED_GRACE_S = 60.0
_VERSION = 1
_BYTES = 41
_MAC_BYTES = 16
_LOG = get_logger(__name__)


@dataclass(frozen=True)
class RefreshToken:
    """A refresh token taken apart.

    Attributes:
        session_id: Session it names.
        counter: Its number in the session.
        mac: Its proof.
    """

    session_id: SessionId
    counter: int
    mac: bytes

    @classmethod
    def parse(cls, text: str) -> RefreshToken:
        """Read a token.

        Raises:
            TokenInvalid: Wrong length, version or encoding.
        """
        try:
            raw = jws.decode(text) if text.isascii() and len(text) <= 64 else b""
        except TokenInvalid:
            raw = b""
        if len(raw) != _BYTES or raw[0] != _VERSION:
            raise _invalid()
        return cls(SessionId(UUID(bytes=raw[1:17])), int.from_bytes(raw[17:25], "big"), raw[25:])

    @classmethod
    def make(cls, session_id: SessionId, counter: int, session_key: bytes) -> RefreshToken:
        """The token number ``counter`` of a session."""
        return cls(session_id, counter, _mac(session_id, counter, session_key))

    def is_proven_by(self, session_key: bytes) -> bool:
        """Whether the proof is right, in constant time."""
        return hmac.compare_digest(self.mac, _mac(self.session_id, self.counter, session_key))

    def text(self) -> str:
        """The token as sent to the client, 55 characters."""
        return jws.encode(_head(self.session_id, self.counter) + self.mac)


class Verdict(Enum):
    """What becomes of a token that is not the newest."""

    REPLAY = "replay"
    REUSE = "reuse"
    AHEAD = "ahead"
    CHANGED = "changed"


def judge(presented: int, state: SessionState) -> Verdict:
    """The table of the refresh: ``d`` is how many rotations the token is behind.

    ==============  ======  ==========  =====================================
    d               age     child used  verdict
    ==============  ======  ==========  =====================================
    1               <= 10s  any         REPLAY: several tabs ask at once
    1               <= 60s  no          REPLAY: the client lost the answer
    1 otherwise, 2+ any     any         REUSE: two parties hold the token
    0                                   CHANGED: the session ended meanwhile
    under 0                             AHEAD: of a future that never was
    ==============  ======  ==========  =====================================
    """
    behind = state.refresh_counter - presented
    if behind < 0:
        return Verdict.AHEAD
    if behind == 0:
        return Verdict.CHANGED
    is_unused = state.used_gen < state.refresh_counter
    grace_s = UNUSED_GRACE_S if is_unused else GRACE_S
    return Verdict.REPLAY if behind == 1 and state.refreshed_age_s <= grace_s else Verdict.REUSE


@dataclass(frozen=True)
class Renewal:
    """A renewed session.

    Attributes:
        token: The child token.
        state: The session, after the rotation.
        replayed: The child had been given out before.
    """

    token: RefreshToken
    state: SessionState
    replayed: bool


class SessionKeeper:
    """Opens, renews and ends sessions.

    Args:
        db: Database as the runtime role.
        kek: The installation's keys.
        revocations: Told of every session that ends.
    """

    def __init__(self, db: Database, kek: SealingKeys, revocations: Revocations) -> None:
        self._db = db
        self._sealer = Sealer(kek, "refresh-key")
        self._revocations = revocations

    async def open(self, tenant_id: TenantId, user_id: UserId, device_name: str) -> RefreshToken:
        """Store a session and answer its first token."""
        session_id = SessionId(uuid7())
        session_key = os.urandom(32)
        async with self._db.tenant_transaction(tenant_id) as tx:
            sealed = self._sealer.seal(session_key, session_id.bytes)
            await Sessions(tx, tenant_id).add(session_id, user_id, device_name, sealed)
        return RefreshToken.make(session_id, 1, session_key)

    async def renew(self, text: str) -> Renewal:
        """Exchange a token for its child.

        Raises:
            TokenInvalid: Not a token of ours, or the user or tenant may not have sessions any more.
            TokenRevoked: The session was ended.
            TokenExpired: Not used for 14 days, or the session is 30 days old.
            RefreshReused: The token was exchanged before; the session is ended now.
            Aborted: SERIALIZATION_RETRY.
        """
        token = RefreshToken.parse(text)
        async with self._db.transaction() as tx:
            state = await SessionLookups(tx).state(token.session_id)
        if state is None:
            raise _invalid()
        session_key = self._sealer.open(state.refresh_key_enc, token.session_id.bytes)
        if not token.is_proven_by(session_key):
            raise _invalid()
        _require_live(state)
        outcome = await self._rotate(token, state)
        if isinstance(outcome, CohortLensError):
            if isinstance(outcome, RefreshReused):
                await self._revocations.revoke(token.session_id)
            raise outcome
        state, is_replayed = outcome
        child = RefreshToken.make(token.session_id, state.refresh_counter, session_key)
        return Renewal(child, state, is_replayed)

    async def end(self, tenant_id: TenantId, user_id: UserId, session_id: SessionId, reason: str) -> bool:
        """End a session of a user; ending it twice is fine. False when the user never had it."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            sessions = Sessions(tx, tenant_id)
            if await sessions.revoke(session_id, reason, user_id=user_id):
                await _announce(Outbox(tx), session_id, reason)
            elif not await sessions.exists(session_id, user_id):
                return False
        await self._revocations.revoke(session_id)
        return True

    async def _rotate(
        self, token: RefreshToken, before: SessionState
    ) -> tuple[SessionState, bool] | CohortLensError:
        # A fault is answered, not raised: raising would roll back the revocation that goes with it.
        async with self._db.tenant_transaction(before.tenant_id) as tx:
            sessions = Sessions(tx, before.tenant_id)
            is_first = await sessions.rotate(token.session_id, token.counter) is not None
            state = await SessionLookups(tx).state(token.session_id)
            if state is None:
                return _invalid()
            if is_first:
                return state, False
            verdict = judge(token.counter, state)
            if verdict is Verdict.REPLAY and not state.revoked and state.expires_in_s > 0:
                _LOG.info("refresh_replayed", session=token.session_id)
                return state, True
            if verdict is Verdict.REUSE and await sessions.revoke(token.session_id, "REUSE"):
                await _announce(Outbox(tx), token.session_id, "REUSE")
            return _fault(verdict, state)


def _require_live(state: SessionState) -> None:
    if not state.usable:
        raise _invalid()
    if state.revoked:
        raise _revoked()
    if state.expires_in_s <= 0:
        raise _expired()


def _fault(verdict: Verdict, state: SessionState) -> CohortLensError:
    if verdict is Verdict.REUSE:
        _LOG.warning("refresh_reused", session=state.session_id)
        return RefreshReused(
            "this refresh token was used before, so the session was ended on every device; log in again"
        )
    if verdict is Verdict.AHEAD:
        # A restored backup, or somebody holds the keys.
        _LOG.error("refresh_ahead_of_session", session=state.session_id)
        return _invalid()
    if state.revoked:
        return _revoked()
    if state.expires_in_s <= 0:
        return _expired()
    return Aborted("the session changed meanwhile; try again", retry_delay_s=0.1)


async def _announce(outbox: Outbox, session_id: SessionId, reason: str) -> None:
    await outbox.record(
        SESSION_REVOKED, f"session:{session_id}", {"session_id": str(session_id), "reason": reason}
    )


def _head(session_id: SessionId, counter: int) -> bytes:
    return bytes([_VERSION]) + session_id.bytes + counter.to_bytes(8, "big")


def _mac(session_id: SessionId, counter: int, session_key: bytes) -> bytes:
    return hmac.digest(session_key, _head(session_id, counter), hashlib.sha256)[:_MAC_BYTES]


def _invalid() -> TokenInvalid:
    return TokenInvalid("the refresh token is not valid; log in again")


def _revoked() -> TokenRevoked:
    return TokenRevoked("the session was ended; log in again")


def _expired() -> TokenExpired:
    return TokenExpired("the session has expired; log in again")
