"""What the use cases of identity share, and two of them: who am I, public keys."""

from __future__ import annotations

from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import Unauthenticated
from cohortlens.core.ids import PLATFORM_TENANT_ID
from cohortlens.core.outbox import Event
from cohortlens.core.redis import RedisClient
from cohortlens.core.sealing import SealingKeys
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.access.generations import UsedGenerations
from cohortlens.identity.access.key_control import KeyControl
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.access.signing_keys import (
    ACCESS_KEYS,
    AUDIT_KEYS,
    RECEIPT_KEYS,
    PublicKey,
    SigningKeys,
)
from cohortlens.identity.access.token_check import AccessTokenVerifier
from cohortlens.identity.access.tokens import LEEWAY_S, AccessTokens, TokenPolicy
from cohortlens.identity.accounts.attempts import LoginAttempts, LoginLimits
from cohortlens.identity.accounts.passwords import PasswordHasher
from cohortlens.identity.models import Me
from cohortlens.identity.repository import Accounts
from cohortlens.identity.sessions.control import SessionControl
from cohortlens.identity.sessions.keeper import SessionKeeper


class IdentityService:
    """Everything about who is calling; make it with ``open``.

    Args:
        db: Database as the runtime role.
        hasher: Hashes passwords.
        tokens: Signs access tokens.
        signing_keys: The keys they are signed with.
        receipt_keys: The keys of consent receipts.
        sessions: Opens, renews and ends sessions.
        attempts: Counts attempts to log in.
        revocations: Sessions that were ended.
        generations: Which generation of a session is in use.
        verifier: Turns an access token into a principal.
        control: What users do with their sessions.
        keys: What the platform's staff do with signing keys.

    Attributes:
        verifier: For the doors: ``await verifier.verify(token)``.
        hasher: Hashes passwords.
        attempts: Counts attempts to log in.
        sessions: Opens, renews and ends sessions.
        tokens: Signs access tokens.
        revocations: What was taken back; ``publish`` after a commit that changed access.
        signing_keys: The keys of access tokens.
        receipt_keys: The keys of consent receipts.
        control: What users do with their sessions.
        keys: What the platform's staff do with signing keys.
    """

    def __init__(
        self,
        *,
        db: Database,
        hasher: PasswordHasher,
        tokens: AccessTokens,
        signing_keys: SigningKeys,
        receipt_keys: SigningKeys,
        sessions: SessionKeeper,
        attempts: LoginAttempts,
        revocations: Revocations,
        generations: UsedGenerations,
        verifier: AccessTokenVerifier,
        control: SessionControl,
        keys: KeyControl,
    ) -> None:
        self._db = db
        self.control = control
        self.keys = keys
        self.hasher = hasher
        self.tokens = tokens
        self.signing_keys = signing_keys
        self.receipt_keys = receipt_keys
        self.sessions = sessions
        self.attempts = attempts
        self.revocations = revocations
        self._generations = generations
        self.verifier = verifier

    @classmethod
    async def open(
        cls,
        db: Database,
        redis: RedisClient,
        *,
        kek: SealingKeys,
        issuer: str,
        access_token_ttl_s: int,
        limits: LoginLimits | None = None,
        pepper: str = "",
        clock: Clock = now,
        feed: Database | None = None,
    ) -> IdentityService:
        """Build the service of a process; makes the first signing keys if there are none.

        Args:
            db: Database as the runtime role.
            redis: Client of Redis.
            kek: The installation's keys.
            issuer: Value of ``iss`` in access tokens.
            access_token_ttl_s: Life of an access token, seconds; at most 600, as keys retire 660 s after use.
            limits: Attempts to log in that are allowed.
            pepper: Secret that goes into password hashes; empty for none.
            clock: Current time.
            feed: Database over which changes of access are followed; a pool of its own keeps a busy ``db``
                from making them late. ``db`` when None.

        Raises:
            FailedPrecondition: KEK_MISMATCH when the stored keys were sealed with another key.
            ValueError: The life of access tokens is out of range, or the pepper is too short.
        """
        if not 1 <= access_token_ttl_s <= 600:
            raise ValueError("an access token lives 1 to 600 seconds")
        keys = SigningKeys(db, kek)
        await keys.ensure()
        async with db.transaction() as tx:
            # Not of the KEK: what is counted under it must be found again after the KEK was changed.
            counting = await TenantKeys(kek).mac_key(tx, PLATFORM_TENANT_ID, "login-attempts")
        policy = TokenPolicy(issuer, access_token_ttl_s)
        revocations = Revocations(feed or db, redis, access_token_ttl_s + LEEWAY_S)
        generations = UsedGenerations(db)
        tokens = AccessTokens(keys, policy, clock)
        sessions = SessionKeeper(db, kek, revocations, tokens)
        receipt_keys = SigningKeys(db, kek, RECEIPT_KEYS)
        sets = {ACCESS_KEYS: keys, AUDIT_KEYS: SigningKeys(db, kek, AUDIT_KEYS), RECEIPT_KEYS: receipt_keys}
        return cls(
            db=db,
            hasher=PasswordHasher(pepper),
            tokens=tokens,
            signing_keys=keys,
            receipt_keys=receipt_keys,
            sessions=sessions,
            attempts=LoginAttempts(redis, counting, limits),
            revocations=revocations,
            generations=generations,
            verifier=AccessTokenVerifier(keys, policy, revocations, generations, clock),
            control=SessionControl(db, sessions, revocations),
            keys=KeyControl(db, sets, clock),
        )

    async def close(self) -> None:
        """Write what is pending, end what runs beside the calls and the hashing threads."""
        await self.revocations.close()
        await self._generations.close()
        self.hasher.close()

    async def get_me(self, ctx: RequestContext) -> Me:
        """Who the caller is.

        Raises:
            Unauthenticated: TOKEN_REVOKED: the user has left the tenant since the token was issued.
        """
        caller = ctx.caller
        async with self._db.transaction() as tx:
            profile = await Accounts(tx).profile(caller.tenant_id, caller.user_id)
        if profile is None:
            raise Unauthenticated(
                "the user is no longer in this tenant; log in again", reason="TOKEN_REVOKED"
            )
        return Me(
            caller.user_id,
            caller.tenant_id,
            profile.tenant_display_name,
            caller.role,
            tuple(sorted(caller.scopes)),
            caller.session_id,
            profile.created_at,
            profile.email,
            profile.status,
            profile.last_login_at,
        )

    async def jwks(self) -> list[PublicKey]:
        """The keys that verify access tokens, and the next one."""
        return await self.signing_keys.published()

    async def publish_revocation(self, _event: Event) -> None:
        """Handle ``session.revoked``: tell the processes again, for one that died right after its commit."""
        await self.revocations.publish()
