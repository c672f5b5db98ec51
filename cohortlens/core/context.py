"""Who calls, for which tenant, until when: what a use case may know about the request it serves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cohortlens.core.errors import PermissionDenied
from cohortlens.core.ids import SessionId, TenantId, UserId


@dataclass(frozen=True)
class Principal:
    """Whoever a request acts for.

    Attributes:
        tenant_id: Tenant of the token; the only source of the tenant.
        user_id: The user.
        session_id: Session the token belongs to.
        role: Role in the tenant.
        scopes: What the role allows.
    """

    tenant_id: TenantId
    user_id: UserId
    session_id: SessionId
    role: str
    scopes: frozenset[str]

    @cached_property
    def tenant_text(self) -> str:
        """The tenant's identifier as text; kept, since every call of a token writes it."""
        return str(self.tenant_id)

    @cached_property
    def user_text(self) -> str:
        """The user's identifier as text; kept likewise."""
        return str(self.user_id)

    def require(self, scope: str) -> None:
        """Raise PermissionDenied (SCOPE_MISSING) unless the principal has ``scope``."""
        if scope not in self.scopes:
            raise PermissionDenied(
                f"this call needs the scope {scope}, which the role {self.role} does not give",
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
    """

    request_id: str
    principal: Principal | None
    deadline: float

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
