"""The second step of a log-in: a right password answers MFA_REQUIRED, and a code finishes it.

A user with an authenticator app types its code or a recovery code. A user without one, whose address was
tried very often lately, types a code that is mailed: so strangers who guess cannot lock anybody out.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import Unauthenticated
from cohortlens.core.ids import TenantId, UserId
from cohortlens.core.mail import MAIL_PURPOSE, MailQueue
from cohortlens.core.sealing import Sealer, SealingKeys
from cohortlens.identity import mails
from cohortlens.identity.accounts.credentials import Credentials, UserCredentials
from cohortlens.identity.accounts.totp import SecondFactor, code_refused, normal_code
from cohortlens.identity.models import Membership, TokenInvalid
from cohortlens.identity.one_time import OneTimeToken, OneTimeTokens

SECOND_STEP = "second_step"
LIFE_S = 300.0
MAILED_LIFE_S = 600.0
TRIES = 5
_MAILED_DIGITS = 6

# Values of ``amr`` (RFC 8176) that a log-in ends with. A mailed code is another channel and no ``otp``, which
# the platform's staff need: it must not stand in for their authenticator app.
AMR = {"": ("pwd",), "totp": ("pwd", "otp"), "recovery_code": ("pwd", "otp"), "email_code": ("pwd", "mca")}


class MfaRequired(Unauthenticated):
    """The password is right; ``mfa_token`` and ``methods`` in the metadata say how to go on."""

    reason = "MFA_REQUIRED"
    handed_out = frozenset({"mfa_token"})


@dataclass(frozen=True)
class Step:
    """A second step that waits for its code.

    Attributes:
        tenant_id: Tenant that was chosen.
        user_id: Who logs in.
        ver: Version of the user's rights when the password was right.
        device_name: As given with the password.
        mailed_enc: The sealed code that was mailed; None when the authenticator app is asked for.
    """

    tenant_id: TenantId
    user_id: UserId
    ver: int
    device_name: str
    mailed_enc: bytes | None

    @classmethod
    def of(cls, token: OneTimeToken) -> Step:
        """The step a token stands for."""
        mailed = token.data.get("mailed")
        return cls(
            token.tenant_id,
            UserId(token.subject_id),
            token.data["ver"],
            token.data["device_name"],
            None if mailed is None else base64.b64decode(mailed),
        )


class SecondStep:
    """Asks for the second factor and tests it.

    Args:
        db: Database as the runtime role.
        keys: The installation's keys.
        factor: Tests codes of authenticator apps and recovery codes.
        clock: Unix seconds.
    """

    def __init__(
        self,
        db: Database,
        keys: SealingKeys,
        factor: SecondFactor,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._factor = factor
        self._clock = clock
        self._sealer = Sealer(keys, "mailed-code")
        self._mail_sealer = Sealer(keys, MAIL_PURPOSE)

    async def ask(
        self,
        ctx: RequestContext,
        membership: Membership,
        user: UserCredentials,
        *,
        device_name: str,
        locale: str,
    ) -> MfaRequired:
        """Begin a second step; answers the fault that tells the client of it.

        Args:
            ctx: The request.
            membership: The user in the tenant that was chosen.
            user: Whose password was right.
            device_name: How the list of sessions is to show the device.
            locale: Language of a mailed code.
        """
        tenant_id, is_mailed = membership.tenant_id, user.totp_enc is None
        code = f"{secrets.randbelow(10**_MAILED_DIGITS):0{_MAILED_DIGITS}}" if is_mailed else ""
        data: dict[str, str | int] = {"device_name": device_name, "ver": membership.ver}
        if is_mailed:
            sealed = self._sealer.seal(code.encode("ascii"), user.user_id.bytes)
            data["mailed"] = base64.b64encode(sealed).decode("ascii")
        life_s = MAILED_LIFE_S if is_mailed else LIFE_S
        async with self._db.tenant_transaction(tenant_id) as tx:
            token = await OneTimeTokens(tx).issue(
                SECOND_STEP, tenant_id, user.user_id, life_s, data, tries=TRIES
            )
            if is_mailed:
                await MailQueue(tx, self._mail_sealer).put(
                    user.email, mails.SIGN_IN_CODE, {"code": code}, locale
                )
            await AuditTrail(tx).append(
                Actor("user", str(user.user_id), ctx.request_id, ctx.address),
                "identity.login.challenged",
                resource=f"users/{user.user_id}",
                details={"method": "email_code" if is_mailed else "totp"},
            )
        return _required(token, is_mailed=is_mailed)

    async def take(self, token: str) -> Step:
        """Take one of the five tries of a second step, before its code is looked at.

        Raises:
            TokenInvalid: It is unknown, finished, too old, or all its tries are taken.
        """
        async with self._db.transaction() as tx:
            found = await OneTimeTokens(tx).attempt(token, SECOND_STEP)
        if found is None:
            raise _over()
        return Step.of(found)

    async def use(
        self,
        credentials: Credentials,
        tokens: OneTimeTokens,
        user: UserCredentials,
        step: Step,
        token: str,
        code: str,
    ) -> str:
        """Test the code of a step and end the step; answers the method.

        Args:
            credentials: In the transaction of the log-in.
            tokens: In the same transaction.
            user: Who logs in.
            step: What ``take`` gave.
            token: Its token.
            code: As typed.

        Raises:
            InvalidCredentials: The code is wrong.
            TokenInvalid: Another call finished the step meanwhile.
        """
        if step.mailed_enc is None:
            method = await self.use_factor(credentials, user, code)
        else:
            method = self._use_mailed(step, step.mailed_enc, code)
        if await tokens.consume(token, SECOND_STEP) is None:
            raise _over()
        return method

    async def use_factor(self, credentials: Credentials, user: UserCredentials, code: str) -> str:
        """Use up a code of the authenticator app or a recovery code; raises InvalidCredentials."""
        return await self._factor.use(credentials, user, code, self._clock())

    def _use_mailed(self, step: Step, sealed: bytes, code: str) -> str:
        wanted = self._sealer.open(sealed, step.user_id.bytes)
        if not hmac.compare_digest(wanted, normal_code(code).encode()):
            raise code_refused()
        return "email_code"


def _required(token: str, *, is_mailed: bool) -> MfaRequired:
    if is_mailed:
        text = "type the code that was just mailed to you"
        methods = "email_code"
    else:
        text = "type the code of your authenticator app, or a recovery code"
        methods = "totp,recovery_code"
    return MfaRequired(
        f"{text}: call again with mfa_token and code", metadata={"mfa_token": token, "methods": methods}
    )


def _over() -> TokenInvalid:
    return TokenInvalid("this log-in is finished or too old; begin again with e-mail address and password")
