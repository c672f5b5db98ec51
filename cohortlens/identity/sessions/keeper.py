"""Sessions: opened after a log-in, renewed by rotating refresh tokens, ended by their user or by a reuse."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor, Outcome, truncated_address
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, retried
from cohortlens.core.errors import Aborted, CohortLensError, NotFound
from cohortlens.core.ids import SessionId, TenantId, UserId, uuid7
from cohortlens.core.mail import MAIL_PURPOSE, MailQueue
from cohortlens.core.outbox import Outbox
from cohortlens.core.sealing import Sealer, SealingKeys
from cohortlens.core.telemetry import get_logger
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.access.tokens import CLIENT_ID, AccessTokens
from cohortlens.identity.mails import REFRESH_REUSED
from cohortlens.identity.models import (
    InvalidCredentials,
    RefreshReused,
    SessionState,
    TokenExpired,
    TokenInvalid,
    TokenPair,
    TokenRevoked,
)
from cohortlens.identity.oauth.models import InvalidScope
from cohortlens.identity.sessions.refresh_tokens import RefreshToken, Verdict, judge, refresh_invalid
from cohortlens.identity.sessions.rows import NewSession, SessionLookups, Sessions

SESSION_REVOKED = "session.revoked"
IDLE_LIFE_S = 14 * 86400
_DEVICE_CHARACTERS = 100
_USER_AGENT_CHARACTERS = 256
Within = Callable[[AsyncConnection, SessionId], Awaitable[None]]
"""What else happens in the transaction that stores a session."""
Pace = Callable[[SessionId], Awaitable[None]]
"""Raises ResourceExhausted when a session is renewed too often."""

_LOG = get_logger(__name__)


class SessionKeeper:
    """Opens, renews and ends sessions.

    Args:
        db: Database as the runtime role.
        kek: The installation's keys.
        revocations: Told of every session that ends.
        tokens: Signs access tokens.
    """

    def __init__(
        self, db: Database, kek: SealingKeys, revocations: Revocations, tokens: AccessTokens
    ) -> None:
        self._db = db
        self._sealer = Sealer(kek, "refresh-key")
        self._mail_sealer = Sealer(kek, MAIL_PURPOSE)
        self._revocations = revocations
        self._tokens = tokens
        self._pace: Pace | None = None

    def paced_by(self, pace: Pace) -> None:
        """Ask ``pace`` before each renewal; called once, by a process that limits its callers."""
        self._pace = pace

    async def open(
        self,
        tenant_id: TenantId,
        user_id: UserId,
        *,
        device_name: str,
        address: str,
        user_agent: str,
        amr: Sequence[str],
        client_id: str = CLIENT_ID,
        scopes: frozenset[str] | None = None,
        ver: int | None = None,
        within: Within | None = None,
    ) -> TokenPair:
        """Open a session of a user in a tenant; everything that ends in a session comes through here.

        Args:
            tenant_id: The tenant.
            user_id: The user; must belong to the tenant.
            device_name: How the list of sessions shows the device; cut to 100 characters.
            address: Network address of the caller; its network is stored.
            user_agent: As the caller's program names itself; cut to 256 characters.
            amr: How the user proved who it is, such as ``("pwd", "otp")``.
            client_id: OAuth client the session is for.
            scopes: What of the role's scopes the client was given; None for all of them.
            ver: Version of the user's rights when the proof was checked: a password that was changed since
                then opens no session.
            within: Runs in the transaction that stores the session, behind all else; what it raises opens
                none. For what must be used up by opening, such as an authorisation code.

        Raises:
            NotFound: Not a user of this tenant, or user or tenant is not active.
            InvalidCredentials: The user's rights changed since ``ver``.
        """
        session_id, session_key = SessionId(uuid7()), os.urandom(32)
        async with self._db.tenant_transaction(tenant_id) as tx:
            membership = await SessionLookups(tx).membership(tenant_id, user_id)
            if membership is None:
                raise NotFound("tenant: there is no such tenant", metadata={"field": "tenant"})
            if ver is not None and membership.ver != ver:
                raise InvalidCredentials("e-mail address or password is wrong")
            new = NewSession(
                session_id,
                user_id,
                device_name=_cut(device_name, _DEVICE_CHARACTERS),
                user_agent=_cut(user_agent, _USER_AGENT_CHARACTERS),
                address_prefix=truncated_address(address),
                amr=tuple(amr),
                client_id=client_id,
                scopes=scopes,
                refresh_key_enc=self._sealer.seal(session_key, session_id.bytes),
            )
            await Sessions(tx, tenant_id).add(new)
            if within is not None:
                await within(tx, session_id)
        access, expires_in = await self._tokens.issue(
            user_id, session_id, membership, 1, amr=new.amr, client_id=client_id, scopes=scopes
        )
        child = RefreshToken.make(session_id, 1, session_key)
        return TokenPair(access, expires_in, child.text(), IDLE_LIFE_S, session_id, tenant_id)

    async def renew(
        self,
        text: str,
        *,
        client_id: str = CLIENT_ID,
        address: str = "",
        request_id: str = "",
        narrowed: frozenset[str] | None = None,
    ) -> TokenPair:
        """Exchange a refresh token for the next pair.

        Args:
            text: The refresh token.
            client_id: Client that presents it; a token of another client's session is none.
            address: Network address of the caller, for the audit log.
            request_id: Request it happens in.
            narrowed: Fewer scopes than the client was given, for this access token.

        Raises:
            InvalidScope: More scopes than the client was given.
            TokenInvalid: Not a token of ours, or the user or tenant may not have sessions any more.
            TokenRevoked: The session was ended.
            TokenExpired: Not used for 14 days, or the session is 30 days old.
            RefreshReused: The token was exchanged before; the session is ended now.
            ResourceExhausted: RATE_LIMITED: the session is renewed too often; the token stays good.
            Aborted: SERIALIZATION_RETRY.
        """
        token = RefreshToken.parse(text)
        async with self._db.transaction() as tx:
            state = await SessionLookups(tx).state(token.session_id)
        if state is None:
            raise refresh_invalid()
        session_key = self._sealer.open(state.refresh_key_enc, token.session_id.bytes)
        if not token.is_proven_by(session_key) or state.client_id != client_id:
            raise refresh_invalid()
        _require_live(state)
        _require_granted(state, narrowed)
        if self._pace is not None:
            # Only of a proven token: nobody can use up the refreshes of a session whose identifier they know.
            await self._pace(token.session_id)
        before = state
        who = Actor("user", str(state.user_id), request_id=request_id, address=address)
        outcome = await retried(lambda: self._rotate(token, before, who))
        if isinstance(outcome, CohortLensError):
            if isinstance(outcome, RefreshReused):
                await self._revocations.publish()
            raise outcome
        state, is_replayed = outcome
        assert state.membership is not None
        access, expires_in = await self._tokens.issue(
            state.user_id,
            state.session_id,
            state.membership,
            state.refresh_counter,
            amr=state.amr,
            client_id=state.client_id,
            scopes=state.scopes if narrowed is None else narrowed,
        )
        child = RefreshToken.make(token.session_id, state.refresh_counter, session_key)
        left_s = max(int(state.expires_in_s), 0)
        return TokenPair(
            access, expires_in, child.text(), left_s, state.session_id, state.tenant_id, is_replayed
        )

    async def end(
        self,
        tenant_id: TenantId,
        user_id: UserId,
        session_id: SessionId,
        reason: str,
        *,
        who: RequestContext | Actor | None = None,
    ) -> bool:
        """End a session of a user; ending it twice is fine. False when the user never had it.

        Args:
            tenant_id: The tenant.
            user_id: The session's user.
            session_id: The session.
            reason: Why, in upper snake case.
            who: Who ends it; its user when None.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            sessions = Sessions(tx, tenant_id)
            if await sessions.revoke(session_id, reason, user_id=user_id):
                await _announce(tx, session_id, reason)
                await AuditTrail(tx).append(
                    who or Actor("user", str(user_id)),
                    "identity.session.ended",
                    resource=f"sessions/{session_id}",
                    details={"reason": reason},
                )
            elif not await sessions.exists(session_id, user_id):
                return False
        await self._revocations.publish()
        return True

    async def revoke_token(
        self, text: str, *, client_id: str = CLIENT_ID, who: RequestContext | Actor | None = None
    ) -> None:
        """End the session of a refresh token, whichever of its tokens it is; anything else does nothing.

        Args:
            text: What was presented.
            client_id: Client that presents it; of another client's session nothing ends.
            who: Who ends it; its user when None.
        """
        named = await self._named(text)
        if named is not None and named[1].client_id == client_id:
            state = named[1]
            await self.end(state.tenant_id, state.user_id, state.session_id, "TOKEN_REVOKED", who=who)

    async def state_of(self, text: str) -> SessionState | None:
        """The session of a refresh token that could be exchanged now; None for any other text."""
        named = await self._named(text)
        if named is None:
            return None
        token, state = named
        is_good = state.usable and not state.revoked and state.expires_in_s > 0
        return state if is_good and token.counter == state.refresh_counter else None

    async def _named(self, text: str) -> tuple[RefreshToken, SessionState] | None:
        """A proven refresh token and its session, whatever became of both."""
        try:
            token = RefreshToken.parse(text)
        except TokenInvalid:
            return None
        async with self._db.transaction() as tx:
            state = await SessionLookups(tx).state(token.session_id)
        if state is None:
            return None
        session_key = self._sealer.open(state.refresh_key_enc, token.session_id.bytes)
        return (token, state) if token.is_proven_by(session_key) else None

    async def _rotate(
        self, token: RefreshToken, before: SessionState, who: Actor
    ) -> tuple[SessionState, bool] | CohortLensError:
        # A fault is answered, not raised: raising would roll back the revocation that goes with it.
        async with self._db.tenant_transaction(before.tenant_id) as tx:
            sessions = Sessions(tx, before.tenant_id)
            is_first = await sessions.rotate(token.session_id, token.counter) is not None
            state = await SessionLookups(tx).state(token.session_id)
            if state is None or not state.usable:
                return refresh_invalid()
            if is_first:
                return state, False
            verdict = judge(token.counter, state)
            if verdict is Verdict.REPLAY and not state.revoked and state.expires_in_s > 0:
                # Once for each token: of 200 at once the others must not queue for the tenant's audit log.
                if await sessions.note_replay(token.session_id, state.refresh_counter):
                    _LOG.info("refresh_replayed", session=token.session_id)
                    await _audit(tx, who, "auth.refresh.replayed", token, "OK")
                return state, True
            if verdict is Verdict.REUSE and await sessions.revoke(token.session_id, "REUSE"):
                await self._tell_of_reuse(tx, state, who, token)
            return _fault(verdict, state)

    async def _tell_of_reuse(
        self, tx: AsyncConnection, state: SessionState, who: Actor, token: RefreshToken
    ) -> None:
        await _announce(tx, token.session_id, "REUSE")
        email = await SessionLookups(tx).email(state.user_id)
        if email is not None:
            await MailQueue(tx, self._mail_sealer).put(email, REFRESH_REUSED, {})
        await _audit(tx, who, "auth.refresh.reuse", token, "DENIED")


def _require_granted(state: SessionState, narrowed: frozenset[str] | None) -> None:
    if narrowed is not None and state.scopes is not None and not narrowed <= state.scopes:
        raise InvalidScope("scope: one was not granted to the client; it may ask for fewer, never for more")


def _require_live(state: SessionState) -> None:
    if not state.usable:
        raise refresh_invalid()
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
        return refresh_invalid()
    if state.revoked:
        return _revoked()
    if state.expires_in_s <= 0:
        return _expired()
    return Aborted("the session changed meanwhile; try again", retry_delay_s=0.1)


async def _announce(tx: AsyncConnection, session_id: SessionId, reason: str) -> None:
    await Outbox(tx).record(
        SESSION_REVOKED, f"session:{session_id}", {"session_id": str(session_id), "reason": reason}
    )


async def _audit(tx: AsyncConnection, who: Actor, action: str, token: RefreshToken, outcome: Outcome) -> None:
    await AuditTrail(tx).append(
        who,
        action,
        resource=f"sessions/{token.session_id}",
        outcome=outcome,
        details={"token_number": token.counter},
    )


def _cut(text: str, characters: int) -> str:
    printable = "".join(one if one.isprintable() else " " for one in text)
    return printable.strip()[:characters]


def _revoked() -> TokenRevoked:
    return TokenRevoked("the session was ended; log in again")


def _expired() -> TokenExpired:
    return TokenExpired("the session has expired; log in again")
