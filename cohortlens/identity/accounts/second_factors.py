"""The authenticator app of a person: set up, confirmed with its first code, switched off."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.mail import MAIL_PURPOSE, MailQueue
from cohortlens.core.sealing import Sealer, SealingKeys
from cohortlens.identity import mails
from cohortlens.identity.access.changes import AccessChanges, UserChange
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.accounts.credentials import Credentials, UserCredentials
from cohortlens.identity.accounts.password_changes import PasswordsService
from cohortlens.identity.accounts.totp import (
    SecondFactor,
    TotpSecrets,
    code_refused,
    new_recovery_codes,
    normal_code,
    recovery_digest,
)
from cohortlens.identity.models import TokenRevoked


@dataclass(frozen=True)
class TotpSetup:
    """What an authenticator app needs.

    Attributes:
        secret: Base32, for typing.
        uri: ``otpauth`` address, for a QR code.
    """

    secret: str
    uri: str


class SecondFactorsService:
    """Switches authenticator apps on and off.

    Args:
        db: Database as the runtime role.
        keys: The installation's keys.
        passwords: Tests the password of the caller.
        revocations: Told that sessions ended.
        clock: Unix seconds.
    """

    def __init__(
        self,
        db: Database,
        keys: SealingKeys,
        *,
        passwords: PasswordsService,
        revocations: Revocations,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._secrets = TotpSecrets(keys)
        self._factor = SecondFactor(self._secrets)
        self._passwords = passwords
        self._revocations = revocations
        self._clock = clock
        self._mail_sealer = Sealer(keys, MAIL_PURPOSE)

    async def begin(self, ctx: RequestContext, password: str) -> TotpSetup:
        """Make a secret for the caller's app; nothing is asked for until its first code confirms it.

        Raises:
            InvalidCredentials: The password is wrong.
            LoginRateLimited: Too many attempts.
            FailedPrecondition: TOTP_ACTIVE: there is an app already.
        """
        user = await self._passwords.proven(ctx, password)
        sealed, secret, uri = self._secrets.make(user)
        async with self._db.tenant_transaction(user.home) as tx:
            if not await Credentials(tx).begin_totp(user.user_id, sealed):
                raise FailedPrecondition(
                    "an authenticator app is set up already; switch it off first", reason="TOTP_ACTIVE"
                )
            await AuditTrail(tx).append(ctx, "identity.totp.begun", resource=f"users/{user.user_id}")
        return TotpSetup(secret, uri)

    async def confirm(self, ctx: RequestContext, code: str) -> tuple[str, ...]:
        """Switch the app on by its first code; ends the caller's other sessions.

        Returns:
            Ten recovery codes; they are shown this once.

        Raises:
            InvalidCredentials: The code is wrong.
            FailedPrecondition: TOTP_NOT_BEGUN.
        """
        user = await self._caller(ctx)
        if user.totp_pending_enc is None:
            raise FailedPrecondition("no authenticator app is being set up", reason="TOTP_NOT_BEGUN")
        sealed = user.totp_pending_enc
        step = self._secrets.step_of(user, sealed, normal_code(code), self._clock())
        if step is None:
            raise code_refused()
        codes = new_recovery_codes()
        digests = [digest for one in codes if (digest := recovery_digest(one)) is not None]
        async with self._db.tenant_transaction(user.home) as tx:
            if not await Credentials(tx).confirm_totp(user.user_id, sealed, step, digests):
                raise FailedPrecondition("it was set up anew meanwhile", reason="TOTP_NOT_BEGUN")
            await self._take_effect(tx, ctx, user, "on", "identity.totp.confirmed", {})
        await self._revocations.publish()
        return codes

    async def disable(self, ctx: RequestContext, password: str, code: str) -> None:
        """Switch the app off; ends the caller's other sessions.

        Raises:
            InvalidCredentials: Password or code is wrong.
            LoginRateLimited: Too many attempts.
            FailedPrecondition: TOTP_NOT_ACTIVE.
        """
        user = await self._passwords.proven(ctx, password)
        if user.totp_enc is None:
            raise FailedPrecondition("no authenticator app is set up", reason="TOTP_NOT_ACTIVE")
        async with self._db.tenant_transaction(user.home) as tx:
            credentials = Credentials(tx)
            method = await self._factor.use(credentials, user, code, self._clock())
            await credentials.disable_totp(user.user_id)
            await self._take_effect(tx, ctx, user, "off", "identity.totp.disabled", {"method": method})
        await self._revocations.publish()

    async def _caller(self, ctx: RequestContext) -> UserCredentials:
        async with self._db.transaction() as tx:
            user = await Credentials(tx).of_user(ctx.caller.user_id)
        if user is None:
            raise TokenRevoked("the user may not log in any more")
        return user

    async def _take_effect(
        self,
        tx: AsyncConnection,
        ctx: RequestContext,
        user: UserCredentials,
        state: str,
        action: str,
        details: dict[str, str],
    ) -> None:
        keep = ctx.caller.session_id
        changes = AccessChanges(tx, user.home)
        await changes.user(user.user_id, UserChange.TOTP, keep=keep)
        ended = await changes.sessions_of(user.user_id, "TOTP", keep=keep, everywhere=True)
        values = {"state": state}
        await MailQueue(tx, self._mail_sealer).put(user.email, mails.SECOND_FACTOR_CHANGED, values)
        await AuditTrail(tx).append(
            ctx, action, resource=f"users/{user.user_id}", details={"sessions_ended": ended, **details}
        )
