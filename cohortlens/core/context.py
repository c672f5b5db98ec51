"""Who calls, for which tenant, until when: what a use case may know about the request it serves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from uuid import UUID

from cohortlens.core.errors import PermissionDenied
from cohortlens.core.ids import SessionId, TenantId, UserId


class PrincipalKind(StrEnum):
    """What a principal is."""

    USER = "user"
    API_KEY = "api_key"
    SERVICE_ACCOUNT = "service_account"
    CUSTOMER_LINK = "customer_link"


@dataclass(frozen=True)
class Principal:
    """Whoever a request acts for.

    Attributes:
        tenant_id: Tenant of the token or key; the only source of the tenant.
        id: The user, API key or service account; what a column "who did it" holds.
        session_id: Session of a person's token; for a program the same as ``id``.
        role: Role in the tenant: owner, admin, analyst, viewer; ``service`` for a program, ``platform`` for
            the staff of the platform.
        scopes: What the role, or the key, allows.
        kind: What ``id`` names.
        amr: How the caller proved who it is (RFC 8176), such as ``pwd`` and ``otp``.
        client_id: OAuth client the token was issued to.
        acting_for: On whose behalf a program calls (claim ``act``); empty for nobody.
    """

    tenant_id: TenantId
    id: UUID
    session_id: SessionId
    role: str
    scopes: frozenset[str]
    kind: PrincipalKind = PrincipalKind.USER
    amr: tuple[str, ...] = ()
    client_id: str = ""
    acting_for: str = ""

    @property
    def user_id(self) -> UserId:
        """The user.

        Raises:
            PermissionDenied: ROLE_REQUIRED: the caller is a program, and the call is for a person.
        """
        if self.kind is not PrincipalKind.USER:
            raise PermissionDenied(
                "this call is for a person who has logged in, not for an API key or a service account",
                reason="ROLE_REQUIRED",
            )
        return UserId(self.id)

    @cached_property
    def actor(self) -> str:
        """Kind and identifier, such as ``user:0193...``, as the audit log and the log lines name them."""
        return f"{self.kind}:{self.id}"

    @cached_property
    def tenant_text(self) -> str:
        """The tenant's identifier as text; kept, since every call of a token writes it."""
        return str(self.tenant_id)

    @cached_property
    def id_text(self) -> str:
        """The principal's identifier as text; kept likewise."""
        return str(self.id)

    @property
    def _granting(self) -> str:
        return f"the role {self.role}" if self.kind is PrincipalKind.USER else "this credential"

    def require(self, scope: str) -> None:
        """Raise PermissionDenied (SCOPE_MISSING) unless the principal has ``scope``."""
        if scope not in self.scopes:
            raise PermissionDenied(
                f"this call needs the scope {scope}, which {self._granting} does not give",
                reason="SCOPE_MISSING",
                metadata={"scope": scope},
            )


@dataclass(frozen=True)
class RequestContext:
    """One request as the use cases see it.

    Attributes:
        request_id: Identifier in logs and error details.
        principal: Caller; None for a public method.
        deadline: Monotonic time (``time.monotonic``) by which the answer must be out.
        address: Network address of the caller, as the door gives it; empty inside the process.
    """

    request_id: str
    principal: Principal | None
    deadline: float
    address: str = ""

    @property
    def caller(self) -> Principal:
        """The principal of an authenticated method."""
        if self.principal is None:
            raise RuntimeError("a public method asked for its caller")
        return self.principal

    @property
    def tenant_id(self) -> TenantId:
        """Tenant of the caller."""
        return self.caller.tenant_id
