"""AuthService: the RPCs of the caller's tenant, and of all tenants for the staff of the platform."""

# ruff: noqa: ARG002 - the methods of a servicer are named like its RPCs and take the same arguments

from __future__ import annotations

from typing import Any
from uuid import UUID

from cohortlens.core.ids import parse_uuid
from cohortlens.core.paging import PageTokens
from cohortlens.identity.tenancy.platform import PlatformService
from cohortlens.identity.tenancy.roles import missing
from cohortlens.identity.tenancy.tenant_rows import TenantOverview, TenantRecord
from cohortlens.identity.tenancy.tenants import TenantsService
from cohortlens.v1 import auth_tenants_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import timestamp
from gateway.servicers.paging import read_page

_PREFIX = "TENANT_STATUS_"


class AuthTenantsServicer:
    """One method per RPC of ``cohortlens.v1.AuthService`` that is about tenants.

    Args:
        tenants: The use cases of the caller's tenant.
        platform: The use cases of the platform's staff.
        tokens: Seals the tokens of lists.
    """

    def __init__(self, tenants: TenantsService, platform: PlatformService, tokens: PageTokens) -> None:
        self._tenants = tenants
        self._platform = platform
        self._tokens = tokens

    async def GetTenant(self, request: pb.GetTenantRequest, call: Call) -> pb.GetTenantResponse:
        """The caller's tenant."""
        return pb.GetTenantResponse(tenant=_tenant(await self._tenants.get(call.context)))

    async def UpdateTenant(self, request: pb.UpdateTenantRequest, call: Call) -> pb.UpdateTenantResponse:
        """Change the caller's tenant."""
        values = {
            "display_name": request.display_name,
            "settings": dict(request.settings),
            "retention_days": request.retention_days,
            "terms_version": request.terms_version,
        }
        changed = await self._tenants.update(
            call.context, values, list(request.update_mask.paths), request.etag
        )
        return pb.UpdateTenantResponse(tenant=_tenant(changed))

    async def DeleteTenant(self, request: pb.DeleteTenantRequest, call: Call) -> pb.DeleteTenantResponse:
        """Delete the caller's tenant."""
        return pb.DeleteTenantResponse(
            tenant=_tenant(await self._tenants.delete(call.context, request.password))
        )

    async def UndeleteTenant(
        self, request: pb.UndeleteTenantRequest, call: Call
    ) -> pb.UndeleteTenantResponse:
        """Bring a deleted tenant back."""
        chosen = _id(request.tenant) if request.tenant else None
        restored = await self._tenants.undelete(
            call.context, request.email, request.password, request.totp, chosen
        )
        return pb.UndeleteTenantResponse(tenant=_tenant(restored))

    async def ListTenants(self, request: pb.ListTenantsRequest, call: Call) -> pb.ListTenantsResponse:
        """Tenants of the installation, oldest first."""
        status = pb.TenantStatus.Name(request.status).removeprefix(_PREFIX) if request.status else ""

        async def read(cursor: Any, limit: int) -> list[TenantOverview]:
            after = None if cursor is None else UUID(cursor)
            return await self._platform.page(call.context, status, after, limit)

        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListTenants",
            {"status": status},
            request,
            read,
            lambda row: str(row.tenant_id),
        )
        return pb.ListTenantsResponse(tenants=[_overview(row) for row in rows], next_page_token=following)

    async def SuspendTenant(self, request: pb.SuspendTenantRequest, call: Call) -> pb.SuspendTenantResponse:
        """Refuse the calls of a tenant."""
        done = await self._platform.suspend(call.context, _id(request.tenant), request.reason)
        return pb.SuspendTenantResponse(tenant=_overview(done))

    async def ResumeTenant(self, request: pb.ResumeTenantRequest, call: Call) -> pb.ResumeTenantResponse:
        """Let a suspended tenant call again."""
        done = await self._platform.resume(call.context, _id(request.tenant), request.reason)
        return pb.ResumeTenantResponse(tenant=_overview(done))


def _id(text: str) -> UUID:
    found = parse_uuid(text)
    if found is None:
        raise missing("tenant")
    return found


def _tenant(record: TenantRecord) -> pb.Tenant:
    return pb.Tenant(
        tenant=str(record.tenant_id),
        display_name=record.display_name,
        status=_PREFIX + record.status,
        settings=dict(record.settings),
        retention_days=record.retention_days,
        terms_version=record.terms_version,
        terms_time=timestamp(record.terms_at) if record.terms_version else None,
        create_time=timestamp(record.created_at),
        erase_time=timestamp(record.erase_at),
        etag=record.etag,
    )


def _overview(one: TenantOverview) -> pb.TenantSummary:
    return pb.TenantSummary(
        tenant=str(one.tenant_id),
        display_name=one.display_name,
        status=_PREFIX + one.status,
        users=one.users,
        create_time=timestamp(one.created_at),
        erase_time=timestamp(one.erase_at),
    )
