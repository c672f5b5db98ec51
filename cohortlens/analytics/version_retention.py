"""Files of model versions that nothing needs any more go; what the version was and when it was live stays.

Kept are the active version and the one to roll back to, the challenger, the last five of each model, and
every version that a prediction or segmentation of the last thirteen months names, to make its values again.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.registry.models import MODELS, previous_version
from cohortlens.registry.repository import RegistryRepository

LAST_KEPT = 5
"""Newest versions of each model whose files stay."""

NAMED_FOR = timedelta(days=396)
"""How long a prediction keeps the files of its version: thirteen months."""

_TENANTS = 100
_NOBODY = UUID(int=0)
_KEEPER = Actor("job", "version_retention")

_RETIRE = """
UPDATE model_versions v SET state = 'RETIRED'
 WHERE v.tenant_id = app.tid() AND v.model = :model AND v.state <> 'RETIRED'
   AND v.version <> ALL(CAST(:kept AS integer[]))
   AND v.version <= (SELECT max(version) FROM model_versions
                      WHERE tenant_id = app.tid() AND model = :model) - :last
   AND NOT EXISTS (SELECT FROM model_aliases a
                    WHERE a.tenant_id = v.tenant_id AND a.model = v.model AND a.version = v.version)
   AND NOT EXISTS (SELECT FROM batch_predictions b
                    WHERE b.tenant_id = v.tenant_id AND b.model = v.model AND b.model_version = v.version
                      AND b.state IN ('PENDING', 'RUNNING'))
   AND NOT EXISTS (SELECT FROM segmentation_runs r
                    WHERE r.tenant_id = v.tenant_id AND r.model = v.model AND r.model_version = v.version
                      AND r.created_at > :since)
   AND NOT (v.model = 'prediction' AND EXISTS (
     SELECT FROM predictions p
      WHERE p.tenant_id = v.tenant_id AND p.created_at > :since AND p.model_version = v.version))
RETURNING v.version
"""
# Also of versions that were retired before: their files may have outlived a crash.
_UNUSED = """
SELECT app.artifacts_unused(coalesce(array_agg(DISTINCT digest), '{}')) FROM (
  SELECT v.artifact_digest AS digest FROM model_versions v
   WHERE v.tenant_id = app.tid() AND v.state = 'RETIRED'
  UNION ALL SELECT v.data_sha256 FROM model_versions v WHERE v.tenant_id = app.tid() AND v.state = 'RETIRED'
  UNION ALL SELECT f.value FROM model_versions v, jsonb_each_text(v.manifest -> 'files') f
   WHERE v.tenant_id = app.tid() AND v.state = 'RETIRED'
  UNION ALL SELECT r.snapshot_digest FROM model_versions v
    JOIN training_runs r ON r.tenant_id = v.tenant_id AND r.id = v.training_run_id
   WHERE v.tenant_id = app.tid() AND v.state = 'RETIRED' AND r.snapshot_digest IS NOT NULL
) named
"""


class VersionRetention:
    """Retires versions.

    Args:
        db: The database, as the role of jobs.
        artifacts: Where the files lie.
        clock: The time.
    """

    def __init__(self, db: Database, artifacts: LocalArtifactStore, *, clock: Clock = now) -> None:
        self._db = db
        self._artifacts = artifacts
        self._clock = clock

    async def run(self) -> int:
        """Retire what nothing needs any more, of all tenants; answers how many versions."""
        after, retired = _NOBODY, 0
        while True:
            async with self._db.transaction() as tx:
                rows = await tx.scalars(
                    text("SELECT app.tenants_with_versions(:most, :after, :limit)"),
                    {"most": LAST_KEPT, "after": after, "limit": _TENANTS},
                )
                tenants = [TenantId(plain_uuid(value)) for value in rows]
            for tenant_id in tenants:
                retired += await self._retire(tenant_id)
            if len(tenants) < _TENANTS:
                return retired
            after = tenants[-1]

    async def _retire(self, tenant_id: TenantId) -> int:
        retired = 0
        async with self._db.tenant_transaction(tenant_id) as tx:
            for model in MODELS:
                for version in await self._versions(tx, model):
                    retired += 1
                    await AuditTrail(tx).append(
                        _KEEPER, "registry.model.retired", resource=f"models/{model}/versions/{version}"
                    )
            unused = list(await tx.scalars(text(_UNUSED)))
        await asyncio.to_thread(self._delete, unused)
        return retired

    async def _versions(self, tx: AsyncConnection, model: str) -> list[int]:
        repository = RegistryRepository(tx)
        await repository.lock(model)
        before = previous_version(await repository.history(model))
        arguments = {
            "model": model,
            "kept": [] if before is None else [before],
            "last": LAST_KEPT,
            "since": self._clock() - NAMED_FOR,
        }
        return list(await tx.scalars(text(_RETIRE), arguments))

    def _delete(self, digests: list[str]) -> None:
        for digest in digests:
            if self._artifacts.exists(digest):
                self._artifacts.path(digest).unlink(missing_ok=True)
