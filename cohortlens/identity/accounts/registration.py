"""Registration: an address is proven before anything is made of it.

Until the mailed link is used there is neither tenant nor user, only a one-time token that holds the sealed
registration. So nobody can take an address by registering it first, and a log-in cannot tell whether somebody
registered: see ADR 0024. Whether the address has an account changes only which mail is sent.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.ids import PLATFORM_TENANT_ID, TenantId, UserId, uuid7
from cohortlens.core.mail import MAIL_PURPOSE, MailQueue, checked_address
from cohortlens.core.sealing import Sealer, SealingKeys
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity import mails
from cohortlens.identity.accounts.attempts import Attempt, LoginAttempts
from cohortlens.identity.accounts.credentials import Credentials, TenantOfUser
from cohortlens.identity.accounts.passwords import PasswordHasher, check_new_password
from cohortlens.identity.models import Membership, TokenInvalid, field_fault, normal_email
from cohortlens.identity.one_time import OneTimeToken, OneTimeTokens
from cohortlens.identity.repository import Accounts
from cohortlens.identity.sessions.keeper import SessionKeeper
from cohortlens.identity.sessions.opening import Device, Opened

VERIFY_EMAIL = "verify_email"
VERIFY_LIFE_S = 86_400.0
RESET_PASSWORD = "reset_password"  # noqa: S105 - the use of a token
RESET_LIFE_S = 1_800.0


@dataclass(frozen=True)
class Registration:
    """What was asked for, kept sealed until the address is proven.

    Attributes:
        display_name: Name of the tenant.
        email: Normal form of the owner's address.
        password_hash: Encoded hash.
        terms_version: Version of the terms that was accepted.
    """

    display_name: str
    email: str
    password_hash: str
    terms_version: str


class Registrations:
    """Turns registrations into one-time links and back.

    Args:
        keys: The installation's keys.
    """

    def __init__(self, keys: SealingKeys) -> None:
        self._sealer = Sealer(keys, "registration")

    async def issue(self, tx: AsyncConnection, wanted: Registration) -> str:
        """Store a registration and answer the token that makes it come true.

        Args:
            tx: A transaction of the platform's tenant.
            wanted: What was asked for.
        """
        user_id = uuid7()
        content = json.dumps(asdict(wanted)).encode()
        sealed = base64.b64encode(self._sealer.seal(content, user_id.bytes)).decode("ascii")
        return await OneTimeTokens(tx).issue(
            VERIFY_EMAIL, PLATFORM_TENANT_ID, user_id, VERIFY_LIFE_S, {"sealed": sealed}
        )

    def opened(self, token: OneTimeToken) -> Registration:
        """The registration of a token."""
        sealed = base64.b64decode(token.data["sealed"])
        return Registration(**json.loads(self._sealer.open(sealed, token.subject_id.bytes)))


class RegistrationService:
    """Registers tenants.

    Args:
        db: Database as the runtime role.
        keys: The installation's keys.
        tenant_keys: Makes the key of a new tenant.
        hasher: Hashes passwords.
        attempts: Counts attempts.
        sessions: Opens the first session.
    """

    def __init__(
        self,
        db: Database,
        keys: SealingKeys,
        tenant_keys: TenantKeys,
        *,
        hasher: PasswordHasher,
        attempts: LoginAttempts,
        sessions: SessionKeeper,
    ) -> None:
        self._db = db
        self._tenant_keys = tenant_keys
        self._hasher = hasher
        self._attempts = attempts
        self._sessions = sessions
        self._registrations = Registrations(keys)
        self._mail_sealer = Sealer(keys, MAIL_PURPOSE)

    async def register(
        self,
        ctx: RequestContext,
        *,
        display_name: str,
        email: str,
        password: str,
        accept_terms_version: str,
        locale: str = "en",
    ) -> None:
        """Mail a link that makes the tenant, or a hint that there is an account; answers the same.

        Registering again sends a new link; each link makes what its own registration asked for, and the first
        one that is used wins.

        Raises:
            InvalidArgument: FIELD_INVALID, PASSWORD_TOO_SHORT or PASSWORD_BREACHED.
            LoginRateLimited: Too many attempts, or too many passwords are being hashed.
        """
        name = display_name.strip()
        if not name:
            raise field_fault("display_name", "must not be blank")
        normal = checked_address(normal_email(email))
        check_new_password(password, normal)
        count = await self._attempts.reserve(normal, ctx.address, Attempt.REGISTER)
        encoded = await self._hasher.hash(password)
        wanted = Registration(name, normal, encoded, accept_terms_version)
        async with self._db.tenant_transaction(PLATFORM_TENANT_ID) as tx:
            if self._attempts.may_mail(count):
                await self._mail(tx, wanted, locale)
            await AuditTrail(tx).append(
                ctx,
                "identity.registration.requested",
                details={"terms_version": accept_terms_version, "mailed": self._attempts.may_mail(count)},
            )

    async def verify(self, ctx: RequestContext, token: str, device: Device) -> Opened:
        """Make the tenant of a mailed link, with its owner, and open the first session.

        Raises:
            TokenInvalid: The link is unknown, used or too old, or the address has an account by now.
        """
        async with self._db.transaction() as tx:
            found = await OneTimeTokens(tx).find(token, VERIFY_EMAIL)
        if found is None:
            raise _link_invalid()
        tenant_id, user_id = TenantId(uuid7()), UserId(found.subject_id)
        wanted = self._registrations.opened(found)
        async with self._db.tenant_transaction(tenant_id) as tx:
            await self._make(tx, token, tenant_id, user_id, wanted)
            await AuditTrail(tx).append(
                Actor("user", str(user_id), ctx.request_id, ctx.address),
                "identity.tenant.registered",
                resource="tenant",
                details={"terms_version": wanted.terms_version},
            )
        pair = await self._sessions.open(
            tenant_id,
            user_id,
            device_name=device.name,
            address=ctx.address,
            user_agent=device.user_agent,
            # The link proves the mail box, not the password: another channel (RFC 8176).
            amr=("mca",),
        )
        return Opened(pair, (TenantOfUser(Membership(tenant_id, "owner", 1, 1), wanted.display_name),))

    async def _mail(self, tx: AsyncConnection, wanted: Registration, locale: str) -> None:
        # The same statements whether there is an account or not: a token and a mail.
        account = await Credentials(tx).by_email(wanted.email)
        if account is None:
            token = await self._registrations.issue(tx, wanted)
        else:
            token = await OneTimeTokens(tx).issue(
                RESET_PASSWORD, PLATFORM_TENANT_ID, account.user_id, RESET_LIFE_S
            )
        template = mails.VERIFY_EMAIL if account is None else mails.ACCOUNT_EXISTS
        values = {"name": wanted.display_name, "token": token}
        await MailQueue(tx, self._mail_sealer).put(wanted.email, template, values, locale)

    async def _make(
        self, tx: AsyncConnection, token: str, tenant_id: TenantId, user_id: UserId, wanted: Registration
    ) -> None:
        # Raising rolls everything back, the use of the token too: it leads nowhere any more either way.
        if await OneTimeTokens(tx).consume(token, VERIFY_EMAIL) is None:
            raise _link_invalid()
        made = await Accounts(tx).register(
            tenant_id,
            user_id,
            name=wanted.display_name,
            email=wanted.email,
            password_hash=wanted.password_hash,
            terms=wanted.terms_version,
        )
        if not made:
            raise _link_invalid()
        await self._tenant_keys.make(tx, tenant_id)


def _link_invalid() -> TokenInvalid:
    return TokenInvalid("the link was used already or is too old; log in, or register again for a new one")
