"""The use cases of tenants and of the people in them, wired together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cohortlens.core.db import Database
from cohortlens.core.sealing import SealingKeys
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.accounts.service import People
from cohortlens.identity.accounts.totp import SecondFactor, TotpSecrets
from cohortlens.identity.service import IdentityService
from cohortlens.identity.tenancy.erasure import ErasureStep, TenantErasure
from cohortlens.identity.tenancy.invitations import InvitationsService
from cohortlens.identity.tenancy.platform import PlatformService
from cohortlens.identity.tenancy.proofs import PersonProofs
from cohortlens.identity.tenancy.tenants import TenantsService
from cohortlens.identity.tenancy.users import UsersService


class Tenancy:
    """One attribute per service.

    Args:
        db: Database as the runtime role.
        keys: The installation's keys.
        tenant_keys: The tenants' keys.
        core: Hashes, attempts, sessions, revocations.
        people: Asks for passwords.
        artifacts: Folder of the artifact store.
        before_erasure: What other slices end outside before a tenant's rows go.

    Attributes:
        users: The users of a tenant.
        invitations: How people get into a tenant.
        tenants: The caller's tenant.
        platform: All tenants, for the staff.
        erasure: The end of deleted tenants.
    """

    def __init__(
        self,
        db: Database,
        keys: SealingKeys,
        tenant_keys: TenantKeys,
        core: IdentityService,
        people: People,
        artifacts: Path,
        before_erasure: Sequence[ErasureStep] = (),
    ) -> None:
        proofs = PersonProofs(db, core.hasher, core.attempts, SecondFactor(TotpSecrets(keys)))
        self.users = UsersService(db, core.revocations)
        self.invitations = InvitationsService(db, keys, tenant_keys, core.hasher, core.sessions)
        self.tenants = TenantsService(
            db, keys, passwords=people.passwords, proofs=proofs, revocations=core.revocations
        )
        self.platform = PlatformService(db, core.revocations)
        self.erasure = TenantErasure(db, tenant_keys, artifacts, before_erasure)
