"""Log-in by password: the attempt is counted before the hash, and every refusal costs and says the same.

Unknown address, no password, disabled, not verified and wrong password take the same statements, one hash and
one audit row. What a right password may learn (the tenant is suspended, a second factor is needed) is told
after it only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.ids import PLATFORM_TENANT_ID, TenantId
from cohortlens.identity.accounts.attempts import LoginAttempts
from cohortlens.identity.accounts.credentials import Credentials, LoginAccount, UserCredentials
from cohortlens.identity.accounts.passwords import PasswordHasher
from cohortlens.identity.accounts.second_step import AMR, SecondStep, Step
from cohortlens.identity.accounts.totp import recovery_digest
from cohortlens.identity.models import InvalidCredentials, Membership, TokenInvalid, field_fault, normal_email
from cohortlens.identity.one_time import OneTimeTokens
from cohortlens.identity.sessions.keeper import SessionKeeper
from cohortlens.identity.sessions.opening import Device, Opened

SUCCEEDED = "identity.login.succeeded"
FAILED = "identity.login.failed"


@dataclass(frozen=True)
class LoginRequest:
    """What somebody who logs in sends.

    Attributes:
        email: Log-in name in any case; empty with ``mfa_token``.
        password: As typed; empty with ``mfa_token``.
        tenant: Which of the user's tenants; the oldest membership when empty.
        code: Of the authenticator app, a recovery code, or the mailed code.
        mfa_token: Of the answer MFA_REQUIRED, in place of e-mail address and password.
        device: Where the session is opened.
        locale: Language of a mailed code.
    """

    email: str = ""
    password: str = ""
    tenant: str = ""
    code: str = ""
    mfa_token: str = ""
    device: Device = Device()
    locale: str = "en"


class LoginService:
    """Logs people in.

    Args:
        db: Database as the runtime role.
        hasher: Tests passwords.
        attempts: Counts attempts.
        second_step: Asks for a second factor and tests it.
        sessions: Opens the session.
    """

    def __init__(
        self,
        db: Database,
        *,
        hasher: PasswordHasher,
        attempts: LoginAttempts,
        second_step: SecondStep,
        sessions: SessionKeeper,
    ) -> None:
        self._db = db
        self._hasher = hasher
        self._attempts = attempts
        self._second_step = second_step
        self._sessions = sessions

    async def log_in(self, ctx: RequestContext, wanted: LoginRequest) -> Opened:
        """Open a session.

        Raises:
            InvalidArgument: FIELD_INVALID: neither address nor ``mfa_token``, or both.
            LoginRateLimited: Too many attempts, or too many passwords are being tested.
            InvalidCredentials: Unknown address, wrong password or code, disabled or unverified user, or not a
                tenant of the user.
            MfaRequired: The password is right and a second factor is needed.
            TokenInvalid: The ``mfa_token`` is unknown, finished or too old.
            FailedPrecondition: TENANT_SUSPENDED, told only after a right password.
        """
        _require_one_way(wanted)
        if wanted.mfa_token:
            return await self._finish(ctx, wanted)
        email = normal_email(wanted.email)
        count = await self._attempts.reserve(email, ctx.address)
        account = await self._proven(ctx, email, wanted.password)
        chosen = await self._chosen(ctx, account, wanted.tenant)
        user = _credentials(account, email)
        is_asked = user.totp_enc is not None or self._attempts.needs_second_factor(count)
        if is_asked and not (user.totp_enc and wanted.code):
            raise await self._second_step.ask(
                ctx, chosen, user, device_name=wanted.device.name, locale=wanted.locale
            )
        method = await self._passed(ctx, chosen.tenant_id, user, wanted, None)
        return await self._opened(ctx, account, chosen, email, method, wanted.device)

    async def _finish(self, ctx: RequestContext, wanted: LoginRequest) -> Opened:
        step = await self._second_step.take(wanted.mfa_token)
        async with self._db.transaction() as tx:
            user = await Credentials(tx).of_user(step.user_id)
            account = None if user is None else await Credentials(tx).by_email(user.email)
        membership = None if account is None else _membership(account, str(step.tenant_id))
        if user is None or account is None or membership is None:
            raise TokenInvalid("this log-in cannot be finished any more; begin again")
        method = await self._passed(ctx, step.tenant_id, user, wanted, step)
        device = wanted.device if wanted.device.name else Device(step.device_name, wanted.device.user_agent)
        # With the version of then: a password that was changed between the steps opens nothing.
        proven = replace(membership, ver=step.ver)
        return await self._opened(ctx, account, proven, user.email, method, device)

    async def _proven(self, ctx: RequestContext, email: str, password: str) -> LoginAccount:
        """The account of an address whose password was given."""
        async with self._db.transaction() as tx:
            account = await Credentials(tx).by_email(email)
        is_usable = account is not None and account.is_usable
        encoded = account.password_hash if account is not None and is_usable else None
        matches = await self._hasher.verify(encoded, password)
        if account is None or encoded is None or not matches:
            await self._note_failure(ctx, account, "PASSWORD" if is_usable else "NOT_USABLE")
            raise _refused()
        if self._hasher.is_outdated(encoded):
            fresh = await self._hasher.hash(password)
            async with self._db.transaction() as tx:
                await Credentials(tx).set_password(account.user_id, fresh, expected=encoded)
        return account

    async def _chosen(self, ctx: RequestContext, account: LoginAccount, tenant: str) -> Membership:
        if not account.tenants:
            await self._note_failure(ctx, account, "TENANT_SUSPENDED")
            raise FailedPrecondition(
                "the tenant of this user is suspended, deleted or no longer theirs; "
                "an owner brings a deleted one back by UndeleteTenant, within 30 days",
                reason="TENANT_SUSPENDED",
            )
        if not tenant:
            return account.tenants[0].membership
        membership = _membership(account, tenant)
        if membership is not None:
            return membership
        await self._note_failure(ctx, account, "TENANT")
        raise _refused()

    async def _passed(
        self,
        ctx: RequestContext,
        tenant_id: TenantId,
        user: UserCredentials,
        wanted: LoginRequest,
        step: Step | None,
    ) -> str:
        """Test the code, if there is one to test, and note the log-in in one transaction."""
        is_guessable = (step is not None or user.totp_enc is not None) and recovery_digest(
            wanted.code
        ) is None
        if is_guessable:
            await self._attempts.count_code(str(user.user_id))
        try:
            async with self._db.tenant_transaction(tenant_id) as tx:
                credentials, method = Credentials(tx), ""
                if step is not None:
                    method = await self._second_step.use(
                        credentials, OneTimeTokens(tx), user, step, wanted.mfa_token, wanted.code
                    )
                elif user.totp_enc is not None:
                    method = await self._second_step.use_factor(credentials, user, wanted.code)
                await credentials.logged_in(user.user_id)
                await AuditTrail(tx).append(
                    _actor(ctx, user),
                    SUCCEEDED,
                    resource=f"users/{user.user_id}",
                    details={"amr": list(AMR[method])},
                )
        except InvalidCredentials:
            async with self._db.tenant_transaction(tenant_id) as tx:
                await AuditTrail(tx).append(
                    _actor(ctx, user),
                    FAILED,
                    resource=f"users/{user.user_id}",
                    outcome="DENIED",
                    details={"cause": "CODE"},
                )
            raise
        if is_guessable:
            await self._attempts.forget_codes(str(user.user_id))
        return method

    async def _opened(
        self,
        ctx: RequestContext,
        account: LoginAccount,
        membership: Membership,
        email: str,
        method: str,
        device: Device,
    ) -> Opened:
        await self._attempts.give_back(email, ctx.address)
        pair = await self._sessions.open(
            membership.tenant_id,
            account.user_id,
            device_name=device.name,
            address=ctx.address,
            user_agent=device.user_agent,
            amr=AMR[method],
            ver=membership.ver,
        )
        return Opened(pair, account.tenants)

    async def _note_failure(self, ctx: RequestContext, account: LoginAccount | None, cause: str) -> None:
        tenant_id = PLATFORM_TENANT_ID if account is None else account.home
        async with self._db.tenant_transaction(tenant_id) as tx:
            await AuditTrail(tx).append(
                Actor("anonymous", "", ctx.request_id, ctx.address),
                FAILED,
                resource="" if account is None else f"users/{account.user_id}",
                outcome="DENIED",
                details={"cause": cause},
            )


def _require_one_way(wanted: LoginRequest) -> None:
    if wanted.mfa_token and (wanted.email or wanted.password):
        raise field_fault("mfa_token", "stands in place of email and password; send one or the other")
    if wanted.mfa_token and not wanted.code:
        raise field_fault("totp", "is needed with mfa_token")
    if not wanted.mfa_token and not wanted.email:
        raise field_fault("email", "is needed")


def _membership(account: LoginAccount, tenant: str) -> Membership | None:
    found = (one.membership for one in account.tenants)
    return next((one for one in found if str(one.tenant_id) == tenant), None)


def _credentials(account: LoginAccount, email: str) -> UserCredentials:
    return UserCredentials(
        account.user_id, email, account.password_hash, account.totp_enc, None, account.home
    )


def _actor(ctx: RequestContext, user: UserCredentials) -> Actor:
    return Actor("user", str(user.user_id), ctx.request_id, ctx.address)


def _refused() -> InvalidCredentials:
    return InvalidCredentials(
        "e-mail address or password is wrong, or the address was not confirmed yet by the link we mailed"
    )
