"""What the operator of the installation does on its command line: make tenants, name the platform's staff.

There is no default user and no password to print: a person gets in by a link that works once.
"""

from __future__ import annotations

from sqlalchemy import text

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.db import Database, retried
from cohortlens.core.ids import PLATFORM_TENANT_ID, TenantId, UserId, uuid7
from cohortlens.core.mail import checked_address
from cohortlens.core.paging import MAX_PAGE_SIZE
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.access.changes import AccessChanges
from cohortlens.identity.models import field_fault, normal_email
from cohortlens.identity.tenancy.invitations import issue, note_invited
from cohortlens.identity.tenancy.members import Member, Members
from cohortlens.identity.tenancy.tenant_rows import TenantOverview, tenant_overviews

_OPERATOR = Actor("system", "operator")
_NAME_CHARACTERS = 200


class Operator:
    """Whoever may run the command line: holds the keys and the database of the installation.

    Args:
        db: Database as the runtime role.
        tenant_keys: The tenants' keys.
    """

    def __init__(self, db: Database, tenant_keys: TenantKeys) -> None:
        self._db = db
        self._tenant_keys = tenant_keys

    async def create_tenant(self, name: str, email: str) -> tuple[TenantId, str]:
        """Make a tenant without users; answers it, and the token by which its owner joins.

        Raises:
            InvalidArgument: FIELD_INVALID: the name is blank or too long, or the address is none.
        """
        shown = name.strip()
        if not 1 <= len(shown) <= _NAME_CHARACTERS:
            raise field_fault("name", f"must have 1 to {_NAME_CHARACTERS} characters")
        address, tenant_id = checked_address(normal_email(email)), TenantId(uuid7())
        async with self._db.tenant_transaction(tenant_id) as tx:
            await tx.execute(
                text("SELECT app.tenant_create(:tenant, :name)"), {"tenant": tenant_id, "name": shown}
            )
            await self._tenant_keys.make(tx, tenant_id)
            made, token, replaced = await issue(tx, self._tenant_keys, tenant_id, address, "owner", None)
            await note_invited(tx, _OPERATOR, made, replaced)
        return tenant_id, token

    async def invite_staff(self, email: str) -> str:
        """Let a person join the staff of the platform; answers the token of the link.

        Raises:
            InvalidArgument: FIELD_INVALID: not an address.
            AlreadyExists: RESOURCE_EXISTS: the person is of the staff already.
        """
        address = checked_address(normal_email(email))
        async with self._db.tenant_transaction(PLATFORM_TENANT_ID) as tx:
            made, token, replaced = await issue(
                tx, self._tenant_keys, PLATFORM_TENANT_ID, address, "platform", None
            )
            await note_invited(tx, _OPERATOR, made, replaced)
        return token

    async def staff(self) -> list[Member]:
        """Who may act for the platform."""
        async with self._db.tenant_transaction(PLATFORM_TENANT_ID) as tx:
            return await Members(tx, PLATFORM_TENANT_ID).page("", None, MAX_PAGE_SIZE)

    async def dismiss(self, email: str) -> bool:
        """Remove somebody from the staff, with their sessions; False when nobody has this address."""
        normal = normal_email(email)
        found = next((one for one in await self.staff() if one.email == normal), None)
        if found is None:
            return False
        await retried(lambda: self._dismiss(found.user_id))
        return True

    async def tenants(self) -> list[TenantOverview]:
        """Every tenant of the installation, oldest first."""
        found: list[TenantOverview] = []
        while True:
            after = found[-1].tenant_id if found else None
            async with self._db.transaction() as tx:
                page = await tenant_overviews(tx, after=after, limit=MAX_PAGE_SIZE)
            found += page
            if len(page) < MAX_PAGE_SIZE:
                return found

    async def _dismiss(self, user_id: UserId) -> None:
        async with self._db.tenant_transaction(PLATFORM_TENANT_ID) as tx:
            ended = await AccessChanges(tx, PLATFORM_TENANT_ID).sessions_of(user_id, "REMOVED")
            await Members(tx, PLATFORM_TENANT_ID).remove(user_id)
            await AuditTrail(tx).append(
                _OPERATOR,
                "identity.user.removed",
                resource=f"users/{user_id}",
                details={"sessions_ended": ended},
            )
