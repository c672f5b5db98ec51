"""Turns an API key into a principal at the doors; a known key costs no round trip.

Whatever is wrong with a key, its holder hears the same: a thief must not learn that a key is real but used
from the wrong place. The tenant finds the reason in its audit log.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass

from cohortlens.core.clock import Clock, now
from cohortlens.core.context import Principal, PrincipalKind
from cohortlens.core.db import Database
from cohortlens.core.errors import Unauthenticated
from cohortlens.core.ids import SessionId
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.models import ApiKeyInvalid
from cohortlens.identity.networks import holds
from cohortlens.identity.programs import api_key_text
from cohortlens.identity.programs.api_key_rows import KeyState, key_state
from cohortlens.identity.programs.use import ProgramUse, Refusal

CACHED_S = 30.0
ROLE = "service"
_CACHE_ENTRIES = 20_000
_NO_SECRET = bytes(32)
_GUESSED = "SECRET_WRONG"
# A flood of invented keys waits in line here, so that it leaves connections to everyone else.
_READ_AT_ONCE = 2


@dataclass(slots=True)
class _Held:
    """A row as it was read; ``state`` is None where there is none."""

    state: KeyState | None
    principal: Principal | None
    until: float
    edition: int = -1


class ApiKeyVerifier:
    """Turns an API key into a principal.

    Args:
        db: Database as the runtime role.
        revocations: What was revoked, suspended or changed.
        use: Told who calls and who is refused.
        prefix: How keys of this installation begin.
        clock: Current time.
    """

    def __init__(
        self, db: Database, revocations: Revocations, use: ProgramUse, prefix: str, clock: Clock = now
    ) -> None:
        self._db = db
        self._revocations = revocations
        self._use = use
        self._prefix = prefix
        self._clock = clock
        self._proven: OrderedDict[str, _Held] = OrderedDict()
        self._rows: OrderedDict[str, _Held] = OrderedDict()
        self._reading: dict[str, asyncio.Task[_Held]] = {}
        self._turns = asyncio.Semaphore(_READ_AT_ONCE)

    async def verify(self, text: str, address: str, *, strict: bool = False) -> Principal:
        """The principal of a key.

        Args:
            text: The whole key.
            address: Network address of the caller.
            strict: The call changes something: never answer from what may be over 2 s old.

        Raises:
            ApiKeyInvalid: It may not be used, whatever the reason.
            Unavailable: PostgreSQL does not answer.
        """
        at = time.monotonic()
        held = self._proven.get(text)
        if held is None or held.until <= at:
            held = await self._prove(text, address)
        revocations = self._revocations
        revocations.in_use = True
        if at >= revocations.fresh_until or held.edition != revocations.edition:
            held = await self._current(text, held, address, strict=strict)
        state, principal = held.state, held.principal
        if state is None or principal is None:
            raise invalid()
        reason = self._refusal(state, address)
        if reason:
            raise self._refused(state, reason, address)
        self._use.note(state.key_id, at)
        return principal

    def knows(self, text: str) -> bool:
        """Whether a key was proven within the last 30 s; that it still holds is not said."""
        held = self._proven.get(text)
        return held is not None and held.until > time.monotonic()

    async def _prove(self, text: str, address: str) -> _Held:
        """The row of a key whose secret is right."""
        parts = api_key_text.parsed(text)
        # A checksum that is wrong, and a key of another kind of installation, cost no look-up.
        if parts is None or parts.prefix != self._prefix:
            raise invalid()
        held = await self._row(parts.lookup)
        stored = _NO_SECRET if held.state is None else held.state.secret_sha256
        right = hmac.compare_digest(stored, parts.secret_sha256)
        if held.state is None:
            raise invalid()
        if not right:
            raise self._refused(held.state, _GUESSED, address)
        _keep(self._proven, text, held)
        return held

    async def _current(self, text: str, held: _Held, address: str, *, strict: bool) -> _Held:
        """The row once what changed meanwhile is known; read again when it may be touched by that."""
        await self._revocations.refreshed(time.monotonic(), strict=strict)
        edition = self._revocations.edition
        if held.state is not None and held.edition != edition:
            try:
                self._revocations.check(held.state.grant)
            except Unauthenticated:
                # A maker's new role or password leaves the key as it is; the row says what does not.
                self._proven.pop(text, None)
                self._rows.pop(text[8:20], None)
                held = await self._prove(text, address)
        if held.state is not None and await self._revocations.is_key_revoked(
            held.state.key_id, strict=strict
        ):
            raise self._refused(held.state, "REVOKED", address)
        held.edition = edition
        return held

    async def _row(self, lookup: str) -> _Held:
        held = self._rows.get(lookup)
        if held is not None and held.until > time.monotonic():
            return held
        task = self._reading.get(lookup)
        if task is None:
            task = asyncio.create_task(self._read(lookup))
            self._reading[lookup] = task
            task.add_done_callback(lambda _: self._reading.pop(lookup, None))
        # Calls that arrive together share one question; one that goes away does not take it from the others.
        return await asyncio.shield(task)

    async def _read(self, lookup: str) -> _Held:
        async with self._turns:
            at = time.monotonic()
            async with self._db.transaction() as tx:
                state = await key_state(tx, lookup)
        held = _Held(state, None if state is None else principal_of(state), at + CACHED_S)
        _keep(self._rows, lookup, held)
        return held

    def _refusal(self, state: KeyState, address: str) -> str:
        if state.refusal:
            return state.refusal
        if state.expires_at <= self._clock():
            return "EXPIRED"
        if state.allowed and not holds(state.allowed, address):
            return "ADDRESS_NOT_ALLOWED"
        return ""

    def _refused(self, state: KeyState, reason: str, address: str) -> ApiKeyInvalid:
        self._use.refuse(Refusal(state.tenant_id, PrincipalKind.API_KEY, state.key_id, reason, address))
        fault = invalid()
        if reason != _GUESSED:
            # Who shows the whole key is noted as its holder. Whoever knows its public part alone is not:
            # strangers must not be able to fill a tenant's access log.
            fault.principal = principal_of(state)
        return fault


def principal_of(state: KeyState) -> Principal:
    """Whoever calls with a key."""
    return Principal(
        state.tenant_id,
        state.key_id,
        SessionId(state.key_id),
        ROLE,
        state.scopes,
        PrincipalKind.API_KEY,
        client_id=f"api_key:{state.key_id}",
    )


def invalid() -> ApiKeyInvalid:
    """The one fault of a key that may not be used."""
    return ApiKeyInvalid("the API key is not valid here; ask who gave it to you for a new one")


def _keep(cache: OrderedDict[str, _Held], key: str, held: _Held) -> None:
    cache[key] = held
    cache.move_to_end(key)
    if len(cache) > _CACHE_ENTRIES:
        cache.popitem(last=False)
