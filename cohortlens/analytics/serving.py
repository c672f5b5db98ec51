"""Which version of a model answers a call."""

from __future__ import annotations

from contextlib import suppress

from cohortlens.core.ids import TenantId
from cohortlens.registry.models import ModelVersion, NoActiveModel
from cohortlens.registry.promotions import check_ready
from cohortlens.registry.service import RegistryService


async def serving(
    registry: RegistryService, tenant_id: TenantId, model: str, version: int | None
) -> ModelVersion:
    """The active version, or the one named if it may serve.

    Args:
        registry: Knows the versions.
        tenant_id: Whose model.
        model: ``segmentation`` or ``prediction``.
        version: The version named; None or 0 for the active one.

    Raises:
        NoActiveModel: None is named and none is active.
        VersionNotFound: No such version.
        VersionNotReady: It failed its gate, or its files are removed.
    """
    if not version:
        return await registry.active(tenant_id, model)
    with suppress(NoActiveModel):
        # Clients that name the version they have read of name the active one: it is known without a query.
        active = await registry.active(tenant_id, model)
        if active.version == version:
            return active
    found = await registry.version(tenant_id, model, version)
    check_ready(found)
    return found


async def named(registry: RegistryService, tenant_id: TenantId, model: str, version: int) -> ModelVersion:
    """A version to be read, whatever its state; the active one when 0.

    Raises:
        NoActiveModel: 0 is asked for and none is active.
        VersionNotFound: No such version.
    """
    if not version:
        return await registry.active(tenant_id, model)
    return await registry.version(tenant_id, model, version)
