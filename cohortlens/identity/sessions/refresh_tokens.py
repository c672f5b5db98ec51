"""Refresh tokens and the table that decides what becomes of one that is presented.

A token is base64url(version 1 byte | session 16 | counter 8 | first 16 bytes of HMAC-SHA256 of what stands
before, under the session's key). None is stored: the newest counter is enough to compute it again.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from cohortlens.core.ids import SessionId
from cohortlens.identity.access import jws
from cohortlens.identity.models import SessionState, TokenInvalid

GRACE_S = 10.0
UNUSED_GRACE_S = 60.0
_VERSION = 1
_BYTES = 41
_MAC_BYTES = 16


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
            raise refresh_invalid()
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


def refresh_invalid() -> TokenInvalid:
    """The one fault of a refresh token that is not ours."""
    return TokenInvalid("the refresh token is not valid; log in again")


def _head(session_id: SessionId, counter: int) -> bytes:
    return bytes([_VERSION]) + session_id.bytes + counter.to_bytes(8, "big")


def _mac(session_id: SessionId, counter: int, session_key: bytes) -> bytes:
    return hmac.digest(session_key, _head(session_id, counter), hashlib.sha256)[:_MAC_BYTES]
