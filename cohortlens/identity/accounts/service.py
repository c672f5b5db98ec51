"""The use cases of people: register, log in, change a password, set up an authenticator app."""

from __future__ import annotations

import time
from collections.abc import Callable

from cohortlens.core.db import Database
from cohortlens.core.sealing import SealingKeys
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.accounts.login import LoginService
from cohortlens.identity.accounts.password_changes import PasswordsService
from cohortlens.identity.accounts.registration import RegistrationService
from cohortlens.identity.accounts.second_factors import SecondFactorsService
from cohortlens.identity.accounts.second_step import SecondStep
from cohortlens.identity.accounts.totp import SecondFactor, TotpSecrets
from cohortlens.identity.service import IdentityService


class People:
    """One attribute per service.

    Args:
        db: Database as the runtime role.
        keys: The installation's keys.
        tenant_keys: The tenants' keys.
        core: What they share: hashes, attempts, sessions, revocations.
        clock: Unix seconds.

    Attributes:
        registration: Registers tenants.
        login: Logs people in.
        passwords: Changes passwords.
        second_factors: Switches authenticator apps on and off.
    """

    def __init__(
        self,
        db: Database,
        keys: SealingKeys,
        tenant_keys: TenantKeys,
        core: IdentityService,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.registration = RegistrationService(
            db, keys, tenant_keys, hasher=core.hasher, attempts=core.attempts, sessions=core.sessions
        )
        self.login = LoginService(
            db,
            hasher=core.hasher,
            attempts=core.attempts,
            second_step=SecondStep(db, keys, SecondFactor(TotpSecrets(keys)), clock),
            sessions=core.sessions,
        )
        self.passwords = PasswordsService(
            db, keys, hasher=core.hasher, attempts=core.attempts, revocations=core.revocations
        )
        self.second_factors = SecondFactorsService(
            db, keys, passwords=self.passwords, revocations=core.revocations, clock=clock
        )
