"""Registers a tenant on the local stack without a mail: whoever holds its keys vouches for the address."""

from __future__ import annotations

import asyncio

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.cli import local
from cohortlens.cli.client import Client
from cohortlens.cli.session import Account
from cohortlens.core.db import Database
from cohortlens.core.ids import PLATFORM_TENANT_ID
from cohortlens.embedded.settings import StackConfig
from cohortlens.identity.accounts.passwords import PasswordHasher, check_new_password
from cohortlens.identity.accounts.registration import Registration, Registrations
from cohortlens.identity.models import normal_email
from cohortlens.v1 import auth_login_pb2


def register_locally(client: Client, account: Account, terms_version: str) -> None:
    """Register ``account`` and use its link at once.

    Args:
        client: A connection to the stack.
        account: Name of the tenant, address and password of its owner.
        terms_version: Version of the terms that the owner accepts.

    Raises:
        Fault: The stack of this machine has no database or keys.
        ApiError: TOKEN_INVALID: the address has an account.
    """
    token = asyncio.run(_link(local.config(), account, terms_version))
    client.public(client.auth.VerifyEmail, auth_login_pb2.VerifyEmailRequest(token=token))


async def _link(config: StackConfig, account: Account, terms_version: str) -> str:
    email = normal_email(account.email)
    check_new_password(account.password, email)
    hasher = PasswordHasher(config.password_pepper.reveal())
    db = Database(local.runtime_url(config), 1, pooled=config.database_pooled)
    try:
        encoded = await hasher.hash(account.password)
        wanted = Registration(account.tenant, email, encoded, terms_version)
        async with db.tenant_transaction(PLATFORM_TENANT_ID) as tx:
            token = await Registrations(local.keyring(config)).issue(tx, wanted)
            await AuditTrail(tx).append(
                Actor("system", "cohortlens"),
                "identity.registration.requested",
                details={"terms_version": terms_version, "mailed": False},
            )
        return token
    finally:
        await db.close()
        hasher.close()
