"""Proof of a person where no session can be opened: to bring a deleted tenant back."""

from __future__ import annotations

import time
from collections.abc import Callable

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import Unauthenticated
from cohortlens.core.ids import TenantId, UserId
from cohortlens.identity.accounts.attempts import LoginAttempts, LoginLimits
from cohortlens.identity.accounts.credentials import Credentials, LoginAccount
from cohortlens.identity.accounts.passwords import PasswordHasher
from cohortlens.identity.accounts.totp import SecondFactor
from cohortlens.identity.models import InvalidCredentials, LoginRateLimited, normal_email

_HOUR_S = 3600.0


class PersonProofs:
    """Checks passwords and second factors, counted like log-ins.

    Args:
        db: Database as the runtime role.
        hasher: Hashes passwords.
        attempts: Counts attempts; guessing here must not be cheaper than at the log-in.
        second_factor: Tests codes.
        limits: How many attempts are allowed.
        clock: Unix seconds.
    """

    def __init__(
        self,
        db: Database,
        hasher: PasswordHasher,
        attempts: LoginAttempts,
        second_factor: SecondFactor,
        limits: LoginLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._hasher = hasher
        self._attempts = attempts
        self._second_factor = second_factor
        self._limits = limits or LoginLimits()
        self._clock = clock

    async def of_address(
        self, ctx: RequestContext, email: str, password: str, code: str, action: str
    ) -> UserId:
        """Who holds an address: password, and the code of an authenticator from one who uses it.

        Unknown addresses, wrong passwords and disabled users take the same work and get the same answer.

        Raises:
            InvalidCredentials: Not proven.
            Unauthenticated: MFA_REQUIRED: the password is right and the code is missing.
            LoginRateLimited: Too many attempts.
        """
        normal = normal_email(email)
        count = await self._attempts.reserve(normal, ctx.address)
        async with self._db.transaction() as tx:
            account = await Credentials(tx).by_email(normal)
        usable = account.password_hash if account is not None and account.is_usable else None
        if not await self._hasher.verify(usable, password) or account is None:
            if account is not None:
                await self._refused(account.home, _person(ctx, account.user_id), action)
            raise _refusal()
        await self._second(ctx, account, code, count, action)
        await self._attempts.give_back(normal, ctx.address)
        return account.user_id

    async def _second(
        self, ctx: RequestContext, account: LoginAccount, code: str, count: int, action: str
    ) -> None:
        if account.totp_enc is None:
            if count > self._limits.per_email:
                raise LoginRateLimited("too many attempts on this address", retry_delay_s=_HOUR_S)
            return
        if not code:
            raise Unauthenticated(
                "the code of your authenticator is needed: send it as totp",
                reason="MFA_REQUIRED",
                metadata={"methods": "totp,recovery_code"},
            )
        try:
            async with self._db.transaction() as tx:
                credentials = Credentials(tx)
                user = await credentials.of_user(account.user_id)
                if user is None:
                    raise _refusal()
                await self._second_factor.use(credentials, user, code, self._clock())
        except InvalidCredentials:
            await self._refused(account.home, _person(ctx, account.user_id), action)
            raise

    async def _refused(self, tenant_id: TenantId, who: Actor, action: str) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            await AuditTrail(tx).append(
                who, action, outcome="DENIED", details={"reason": InvalidCredentials.reason}
            )


def _person(ctx: RequestContext, user_id: UserId) -> Actor:
    return Actor("user", str(user_id), ctx.request_id, ctx.address)


def _refusal() -> InvalidCredentials:
    return InvalidCredentials("e-mail address, password or code is wrong")
