"""Challengers that have been compared long enough take the active version's place by themselves.

Only those that the service itself set, and only while nobody moved the active version since: whoever did has
decided something this job must not undo.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text

from cohortlens.analytics.shadow_repository import ShadowRepository
from cohortlens.analytics.shadow_totals import Comparison
from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, DeadlineExceeded, Unavailable
from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.core.telemetry import get_logger
from cohortlens.registry.models import ModelVersion, VersionNotFound
from cohortlens.registry.ports import ModelLoader
from cohortlens.registry.repository import RegistryRepository
from cohortlens.registry.service import RegistryService

SLOWEST_RATIO = 3.0
"""Mean time of a challenger over the active version's from which on it is not promoted without a person."""

_TIMED_CALLS = 30
_LOAD_LIMIT_S = 60.0
_PAGE = 100
_PROMOTER = Actor("job", "shadow_promotion")
_log = get_logger(__name__)


class ShadowPromotion:
    """Ends comparisons that have lasted long enough.

    Args:
        db: The database.
        registry: Remembers the active version; told to forget it.
        loader: Loads versions on the replicas.
        shadow_s: Seconds that a version is compared.
        clock: The time.
    """

    def __init__(
        self,
        db: Database,
        registry: RegistryService,
        loader: ModelLoader,
        *,
        shadow_s: float,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._registry = registry
        self._loader = loader
        self._shadow_s = shadow_s
        self._clock = clock

    async def run(self) -> int:
        """Promote the challengers whose time is over; answers how many.

        One whose files the workers refuse, or that is three times as slow as the active version, stops being
        compared instead. One that no worker can load now waits for the next run.
        """
        before = self._clock() - timedelta(seconds=self._shadow_s)
        async with self._db.transaction() as tx:
            rows = await tx.execute(
                text("SELECT * FROM app.challengers_due(:before, :limit)"), {"before": before, "limit": _PAGE}
            )
            due = [(TenantId(plain_uuid(row.tenant_id)), row.model, row.version) for row in rows]
        promoted = 0
        for tenant_id, model, version in due:
            try:
                promoted += await self._end(tenant_id, model, version)
            except (Unavailable, DeadlineExceeded, VersionNotFound) as fault:
                _log.warning(
                    "challenger_waits", tenant_id=str(tenant_id), version=version, reason=fault.reason
                )
        return promoted

    async def _end(self, tenant_id: TenantId, model: str, version: int) -> bool:
        found = await self._registry.version(tenant_id, model, version)
        refusal = await self._refusal(found)
        async with self._db.tenant_transaction(tenant_id) as tx:
            repository = RegistryRepository(tx)
            await repository.lock(model)
            champion, challenger = await repository.get(model, 0), await repository.challenger(model)
            if champion is None or challenger is None or challenger.version != version:
                return False
            assert champion.active_since is not None
            if champion.active_since > challenger.since:
                return False
            comparisons = [
                one
                for one in await ShadowRepository(tx).comparisons(version)
                if one.key.champion_version == champion.version
            ]
            refusal = refusal or _too_slow(comparisons)
            at, resource = self._clock(), f"models/{model}/versions/{version}"
            await repository.clear_challenger(model, at, only=version)
            if refusal:
                action, details = "registry.challenger.refused", {"cause": refusal}
            else:
                action, details = "registry.model.promoted", {"rows_compared": str(_rows(comparisons))}
                reason = f"compared with version {champion.version} on {_rows(comparisons)} rows"
                await repository.activate(model, version, action="PROMOTED", actor=None, reason=reason, at=at)
            await AuditTrail(tx).append(_PROMOTER, action, resource=resource, details=details)
        self._registry.forget(tenant_id)
        return not refusal

    async def _refusal(self, version: ModelVersion) -> str:
        """Why the workers refuse the version; empty when they hold it, warm."""
        try:
            await self._loader.load(
                version.model, version.artifact_digest, deadline=time.monotonic() + _LOAD_LIMIT_S
            )
        except (Unavailable, DeadlineExceeded):
            raise
        except CohortLensError as fault:
            return fault.reason
        return ""


def _rows(comparisons: Sequence[Comparison]) -> int:
    return sum(one.totals.rows for one in comparisons)


def _too_slow(comparisons: Sequence[Comparison]) -> str:
    calls = sum(one.totals.timed_calls for one in comparisons)
    champion_ms = sum(one.totals.champion_ms for one in comparisons)
    challenger_ms = sum(one.totals.challenger_ms for one in comparisons)
    return "TOO_SLOW" if calls >= _TIMED_CALLS and challenger_ms > SLOWEST_RATIO * champion_ms else ""
