"""What follows when another version becomes active: customers get into its segments."""

from __future__ import annotations

from sqlalchemy import text

from cohortlens.analytics.segmentation import SegmentationService
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId
from cohortlens.registry.models import SEGMENTATION
from cohortlens.registry.repository import RegistryRepository

_LAST = """
SELECT model_version FROM segmentation_runs
 WHERE tenant_id = app.tid() AND state <> 'FAILED' ORDER BY id DESC LIMIT 1
"""


async def follow_alias(
    db: Database, segmentation: SegmentationService, tenant_id: TenantId, model: str
) -> bool:
    """Start a segmentation run when the last one was made by another version than the one that serves now.

    May be called again for the same move, and for a move that another one has overtaken.

    Args:
        db: The database.
        segmentation: Starts runs.
        tenant_id: The tenant.
        model: Model whose active version was changed.

    Returns:
        Whether a run was started.
    """
    if model != SEGMENTATION:
        return False
    async with db.tenant_transaction(tenant_id) as tx:
        repository = RegistryRepository(tx)
        await repository.lock(model)
        active = await repository.get(model, 0)
        last = await tx.scalar(text(_LAST))
        if active is None or active.version == last:
            return False
        await segmentation.request(tx, active.version)
        return True
