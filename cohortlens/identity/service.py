"""The use cases of identity: register, log in, refresh, log out, who am I, public keys."""

from __future__ import annotations

from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition, NotFound, Unauthenticated
from cohortlens.core.ids import PLATFORM_TENANT_ID, SessionId, TenantId, UserId, parse_uuid, uuid7
from cohortlens.core.outbox import Event
from cohortlens.core.redis import RedisClient
from cohortlens.core.sealing import SealingKeys
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.attempts import LoginAttempts, LoginLimits
from cohortlens.identity.generations import UsedGenerations
from cohortlens.identity.models import (
    InvalidCredentials,
    LoginAccount,
    Me,
    Membership,
    TokenPair,
    field_fault,
    normal_email,
)
from cohortlens.identity.passwords import PasswordHasher, check_new_password
from cohortlens.identity.repository import Accounts
from cohortlens.identity.revocations import Revocations
from cohortlens.identity.sessions import SessionKeeper
from cohortlens.identity.signing_keys import PublicKey, SigningKeys
from cohortlens.identity.token_check import AccessTokenVerifier
from cohortlens.identity.tokens import LEEWAY_S, AccessTokens, TokenPolicy


class IdentityService:
    """Everything about who is calling; make it with ``open``.

    Args:
        db: Database as the runtime role.
        hasher: Hashes passwords.
        tokens: Signs access tokens.
        signing_keys: The keys they are signed with.
        sessions: Opens, renews and ends sessions.
        attempts: Counts attempts to log in.
        revocations: Sessions that were ended.
        generations: Which generation of a session is in use.
        verifier: Turns an access token into a principal.

    Attributes:
        verifier: For the doors: ``await verifier.verify(token)``.
        sessions: Opens, renews and ends sessions.
        tokens: Signs access tokens.
        revocations: What was taken back; ``publish`` after a commit that changed access.
        signing_keys: The keys of access tokens.
    """

    def __init__(
        self,
        *,
        db: Database,
        hasher: PasswordHasher,
        tokens: AccessTokens,
        signing_keys: SigningKeys,
        sessions: SessionKeeper,
        attempts: LoginAttempts,
        revocations: Revocations,
        generations: UsedGenerations,
        verifier: AccessTokenVerifier,
    ) -> None:
        self._db = db
        self._hasher = hasher
        self.tokens = tokens
        self.signing_keys = signing_keys
        self.sessions = sessions
        self._attempts = attempts
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
            clock: Current time.
            feed: Database over which changes of access are followed; a pool of its own keeps a busy ``db``
                from making them late. ``db`` when None.

        Raises:
            FailedPrecondition: KEK_MISMATCH when the stored keys were sealed with another key.
            ValueError: The life of access tokens is out of range.
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
        return cls(
            db=db,
            hasher=PasswordHasher(),
            tokens=tokens,
            signing_keys=keys,
            sessions=SessionKeeper(db, kek, revocations, tokens),
            attempts=LoginAttempts(redis, counting, limits),
            revocations=revocations,
            generations=generations,
            verifier=AccessTokenVerifier(keys, policy, revocations, generations, clock),
        )

    async def close(self) -> None:
        """Write what is pending, end what runs beside the calls and the hashing threads."""
        await self.revocations.close()
        await self._generations.close()
        self._hasher.close()

    async def register_tenant(
        self, *, display_name: str, email: str, password: str, accept_terms_version: str
    ) -> None:
        """Register a tenant and its owner; does the same work and answers the same for a known address.

        Raises:
            InvalidArgument: FIELD_INVALID, PASSWORD_TOO_SHORT or PASSWORD_BREACHED.
            LoginRateLimited: Too many passwords are being hashed.
        """
        name = display_name.strip()
        if not name:
            raise field_fault("display_name", "must not be blank")
        normal = normal_email(email)
        check_new_password(password, normal)
        encoded = await self._hasher.hash(password)
        async with self._db.transaction() as tx:
            await Accounts(tx).register(
                TenantId(uuid7()),
                UserId(uuid7()),
                name=name,
                email=normal,
                password_hash=encoded,
                terms=accept_terms_version,
            )

    async def create_session(
        self, *, email: str, password: str, tenant: str = "", device_name: str = "", address: str = ""
    ) -> TokenPair:
        """Log in.

        Args:
            email: Log-in name in any case.
            password: As typed.
            tenant: Which of the user's tenants; the oldest membership when empty.
            device_name: How the list of sessions shows the device.
            address: Network address of the caller, for the count of attempts.

        Raises:
            LoginRateLimited: Too many attempts.
            InvalidCredentials: Unknown address, wrong password, disabled user or not a tenant of the user.
            FailedPrecondition: TENANT_SUSPENDED, told only after a right password.
        """
        normal = normal_email(email)
        await self._attempts.reserve(normal, address)
        async with self._db.transaction() as tx:
            account = await Accounts(tx).by_email(normal)
        is_usable = account is not None and account.active
        matches = await self._hasher.verify(
            account.password_hash if account and is_usable else None, password
        )
        if account is None or not matches:
            raise _refused()
        membership = _chosen(account, tenant)
        await self._attempts.give_back(normal, address)
        await self._note_login(account, password)
        return await self.sessions.open(
            membership.tenant_id,
            account.user_id,
            device_name=device_name,
            address=address,
            user_agent="",
            amr=("pwd",),
            ver=membership.ver,
        )

    async def refresh_session(self, refresh_token: str) -> TokenPair:
        """Exchange a refresh token for the next pair; raises as ``SessionKeeper.renew``."""
        return await self.sessions.renew(refresh_token)

    async def delete_session(self, ctx: RequestContext, session: str) -> None:
        """End a session of the caller; ``current`` is the one the call came with.

        Raises:
            NotFound: The caller has no such session.
        """
        caller = ctx.caller
        session_id = caller.session_id if session == "current" else parse_uuid(session)
        if session_id is None or not await self.sessions.end(
            caller.tenant_id, caller.user_id, SessionId(session_id), "LOGOUT"
        ):
            raise NotFound("session: there is no such session", metadata={"field": "session"})

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
            profile[0],
            caller.role,
            tuple(sorted(caller.scopes)),
            caller.session_id,
            profile[1],
        )

    async def jwks(self) -> list[PublicKey]:
        """The keys that verify access tokens, and the next one."""
        return await self.signing_keys.published()

    async def publish_revocation(self, _event: Event) -> None:
        """Handle ``session.revoked``: tell the processes again, for one that died right after its commit."""
        await self.revocations.publish()

    async def _note_login(self, account: LoginAccount, password: str) -> None:
        encoded = account.password_hash
        if self._hasher.is_outdated(encoded):
            encoded = await self._hasher.hash(password)
        async with self._db.transaction() as tx:
            await Accounts(tx).logged_in(account.user_id, account.password_hash, encoded)


def _chosen(account: LoginAccount, tenant: str) -> Membership:
    if not account.memberships:
        raise FailedPrecondition("the tenant of this user is suspended", reason="TENANT_SUSPENDED")
    if not tenant:
        return account.memberships[0]
    for membership in account.memberships:
        if str(membership.tenant_id) == tenant:
            return membership
    raise _refused()


def _refused() -> InvalidCredentials:
    return InvalidCredentials("e-mail address or password is wrong")
