"""A new password: by a mailed link for whoever forgot the old one, or by the old one."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.ids import PLATFORM_TENANT_ID, SessionId, UserId, uuid7
from cohortlens.core.mail import MAIL_PURPOSE, MailQueue, checked_address
from cohortlens.core.sealing import Sealer, SealingKeys
from cohortlens.identity import mails
from cohortlens.identity.access.changes import AccessChanges, UserChange
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.accounts.attempts import Attempt, LoginAttempts
from cohortlens.identity.accounts.credentials import Credentials, UserCredentials
from cohortlens.identity.accounts.passwords import PasswordHasher, check_new_password
from cohortlens.identity.accounts.registration import RESET_LIFE_S, RESET_PASSWORD
from cohortlens.identity.models import (
    InvalidCredentials,
    TokenInvalid,
    TokenRevoked,
    field_fault,
    normal_email,
)
from cohortlens.identity.one_time import OneTimeTokens


class PasswordsService:
    """Changes passwords.

    Args:
        db: Database as the runtime role.
        keys: The installation's keys.
        hasher: Hashes and tests passwords.
        attempts: Counts attempts.
        revocations: Told that sessions ended.
    """

    def __init__(
        self,
        db: Database,
        keys: SealingKeys,
        *,
        hasher: PasswordHasher,
        attempts: LoginAttempts,
        revocations: Revocations,
    ) -> None:
        self._db = db
        self._hasher = hasher
        self._attempts = attempts
        self._revocations = revocations
        self._mail_sealer = Sealer(keys, MAIL_PURPOSE)

    async def request_reset(self, ctx: RequestContext, email: str, locale: str = "en") -> None:
        """Mail a link to choose a new password, or that there is no account; answers the same.

        Raises:
            InvalidArgument: FIELD_INVALID.
            LoginRateLimited: Too many attempts.
        """
        normal = checked_address(normal_email(email))
        count = await self._attempts.reserve(normal, ctx.address, Attempt.RESET)
        is_mailed = self._attempts.may_mail(count)
        async with self._db.tenant_transaction(PLATFORM_TENANT_ID) as tx:
            if is_mailed:
                await self._mail_link(tx, normal, locale)
            await AuditTrail(tx).append(
                ctx, "identity.password.reset_requested", details={"mailed": is_mailed}
            )

    async def reset(self, ctx: RequestContext, token: str, password: str) -> None:
        """Choose a new password by a mailed link; ends every session of the user in every tenant.

        Raises:
            TokenInvalid: The link is unknown, used or too old, or the user is disabled.
            InvalidArgument: FIELD_INVALID, PASSWORD_TOO_SHORT or PASSWORD_BREACHED; the link stays good.
            LoginRateLimited: Too many passwords are being hashed.
        """
        async with self._db.transaction() as tx:
            found = await OneTimeTokens(tx).find(token, RESET_PASSWORD)
            user = None if found is None else await Credentials(tx).of_user(UserId(found.subject_id))
        if user is None:
            raise _link_invalid()
        check_new_password(password, user.email)
        encoded = await self._hasher.hash(password)
        async with self._db.tenant_transaction(user.home) as tx:
            if await OneTimeTokens(tx).consume(token, RESET_PASSWORD) is None:
                raise _link_invalid()
            if not await Credentials(tx).set_password(user.user_id, encoded):
                raise _link_invalid()
            actor = Actor("user", str(user.user_id), ctx.request_id, ctx.address)
            await self._take_effect(tx, user, actor, "identity.password.reset", None)
        await self._revocations.publish()

    async def change(self, ctx: RequestContext, old: str, new: str) -> None:
        """Choose a new password by the old one; ends every other session of the user in every tenant.

        Raises:
            InvalidCredentials: The old password is wrong, or was changed meanwhile.
            InvalidArgument: FIELD_INVALID, PASSWORD_TOO_SHORT or PASSWORD_BREACHED.
            LoginRateLimited: Too many attempts, or too many passwords are being hashed.
        """
        user = await self.proven(ctx, old)
        if new == old:
            raise field_fault("new_password", "must differ from the present one")
        check_new_password(new, user.email, field="new_password")
        encoded = await self._hasher.hash(new)
        async with self._db.tenant_transaction(user.home) as tx:
            if not await Credentials(tx).set_password(user.user_id, encoded, expected=user.password_hash):
                raise wrong_password()
            await self._take_effect(tx, user, ctx, "identity.password.changed", ctx.caller.session_id)
        await self._revocations.publish()

    async def proven(self, ctx: RequestContext, password: str) -> UserCredentials:
        """The caller, who has typed the present password; counted and refused like a log-in.

        Raises:
            InvalidCredentials: It is wrong.
            LoginRateLimited: Too many attempts.
            TokenRevoked: The user is disabled.
        """
        async with self._db.transaction() as tx:
            user = await Credentials(tx).of_user(ctx.caller.user_id)
        if user is None:
            raise TokenRevoked("the user may not log in any more")
        await self._attempts.reserve(user.email, ctx.address)
        if not await self._hasher.verify(user.password_hash, password):
            async with self._db.tenant_transaction(user.home) as tx:
                await AuditTrail(tx).append(
                    ctx,
                    "identity.password.refused",
                    resource=f"users/{user.user_id}",
                    outcome="DENIED",
                )
            raise wrong_password()
        await self._attempts.give_back(user.email, ctx.address)
        return user

    async def _mail_link(self, tx: AsyncConnection, email: str, locale: str) -> None:
        # The same statements for an unknown address, whose token belongs to nobody and is never mailed.
        account = await Credentials(tx).by_email(email)
        user_id = UserId(uuid7()) if account is None else account.user_id
        token = await OneTimeTokens(tx).issue(RESET_PASSWORD, PLATFORM_TENANT_ID, user_id, RESET_LIFE_S)
        template = mails.NO_ACCOUNT if account is None else mails.RESET_PASSWORD
        values = {} if account is None else {"token": token}
        await MailQueue(tx, self._mail_sealer).put(email, template, values, locale)

    async def _take_effect(
        self,
        tx: AsyncConnection,
        user: UserCredentials,
        who: RequestContext | Actor,
        action: str,
        keep: SessionId | None,
    ) -> None:
        changes = AccessChanges(tx, user.home)
        await changes.user(user.user_id, UserChange.PASSWORD, keep=keep)
        ended = await changes.sessions_of(user.user_id, "PASSWORD", keep=keep, everywhere=True)
        # Other links that were mailed before would give the account to whoever reads the mails.
        await OneTimeTokens(tx).discard(RESET_PASSWORD, PLATFORM_TENANT_ID, user.user_id)
        await MailQueue(tx, self._mail_sealer).put(user.email, mails.PASSWORD_CHANGED, {})
        await AuditTrail(tx).append(
            who, action, resource=f"users/{user.user_id}", details={"sessions_ended": ended}
        )


def wrong_password() -> InvalidCredentials:
    """The answer to a wrong password of somebody who is logged in."""
    return InvalidCredentials("the password is wrong")


def _link_invalid() -> TokenInvalid:
    return TokenInvalid("the link was used already or is too old; ask for a new one")
