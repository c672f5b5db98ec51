"""Register versions and tell which one serves; ``promotions.py`` changes it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.contracts.manifest import ModelManifest
from cohortlens.core import clock
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import DeadlineExceeded, Unavailable
from cohortlens.core.ids import TenantId
from cohortlens.registry.models import (
    MODELS,
    PREDICTION,
    READY,
    REJECTED,
    AliasInterval,
    ModelVersion,
    NoActiveModel,
    Outcome,
    Registered,
    VersionNotFound,
    is_better,
    is_held_against_champion,
)
from cohortlens.registry.repository import RegistryRepository

ACTIVE_FOR_S = 2.0
"""Seconds another process may go on with the version that was active before."""
SHADOW_SHARE = 0.1
"""Share of the calls that a version sees which the service itself lets be compared."""

_CACHED_MOST = 20_000
_PATIENCE_S = 0.5
_ASK_AGAIN_S = 1.0


class RegistryService:
    """Use cases of model versions.

    Args:
        db: The database.
        shadow_s: Seconds that a prediction is compared with the active one before it takes its place; 0 for
            at once.
    """

    def __init__(self, db: Database, shadow_s: float = 0.0) -> None:
        self._db = db
        self._shadow_s = shadow_s
        self._active: dict[tuple[TenantId, str], tuple[float, ModelVersion]] = {}
        self._reading: dict[tuple[TenantId, str], asyncio.Task[ModelVersion]] = {}

    async def active(self, tenant_id: TenantId, model: str) -> ModelVersion:
        """The version that serves, with its challenger; at most two seconds old in other processes.

        While the database does not answer, the last known version goes on serving.

        Raises:
            NoActiveModel: The tenant has none.
        """
        key = (tenant_id, model)
        cached = self._active.get(key)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        # One query for all callers that find it out of date at the same moment.
        reading = self._reading.get(key)
        if reading is None:
            reading = asyncio.create_task(self._read_active(tenant_id, model))
            self._reading[key] = reading
            reading.add_done_callback(partial(self._read_done, key))
        if cached is None:
            return await asyncio.shield(reading)
        return await self._read_or_kept(key, reading, cached[1])

    async def _read_or_kept(
        self, key: tuple[TenantId, str], reading: asyncio.Task[ModelVersion], kept: ModelVersion
    ) -> ModelVersion:
        """What the database says, or what it said last while it does not answer: nobody promotes then."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await asyncio.shield(reading)
        except (TimeoutError, Unavailable, DeadlineExceeded):
            current = self._active.get(key)
            if current is not None and current[1] is kept:
                self._active[key] = (time.monotonic() + _ASK_AGAIN_S, kept)
            return kept

    async def _read_active(self, tenant_id: TenantId, model: str) -> ModelVersion:
        async with self._db.tenant_transaction(tenant_id) as tx:
            repository = RegistryRepository(tx)
            version = await repository.get(model, 0)
            challenger = None if version is None else await repository.challenger(model)
            newest = [] if version else await repository.page(model, None, 1)
        if version is None:
            raise NoActiveModel(model, next((one for one in newest if one.state == REJECTED), None))
        return version if challenger is None else replace(version, challenger=challenger)

    def _read_done(self, key: tuple[TenantId, str], reading: asyncio.Task[ModelVersion]) -> None:
        # A reading that began before a promotion of this process must not be remembered after it.
        if self._reading.get(key) is not reading:
            return
        del self._reading[key]
        if reading.cancelled() or reading.exception() is not None:
            return
        if len(self._active) >= _CACHED_MOST:
            self._active.clear()
        self._active[key] = (time.monotonic() + ACTIVE_FOR_S, reading.result())

    async def version(self, tenant_id: TenantId, model: str, version: int) -> ModelVersion:
        """One version, for work that started with it.

        Raises:
            VersionNotFound: No such version.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            found = await RegistryRepository(tx).get(model, version)
        if found is None:
            raise VersionNotFound(model, version)
        return found

    def forget(self, tenant_id: TenantId) -> None:
        """Ask the database again about the tenant's active versions."""
        for model in MODELS:
            self._active.pop((tenant_id, model), None)
            self._reading.pop((tenant_id, model), None)

    async def get_version(self, ctx: RequestContext, model: str, version: int) -> ModelVersion:
        """One version; the active one when ``version`` is 0.

        Raises:
            VersionNotFound: No such version, or none is active.
        """
        return await self.version(ctx.tenant_id, model, version)

    async def list_versions(
        self,
        ctx: RequestContext,
        model: str,
        *,
        below: int | None,
        limit: int,
        live_at: datetime | None = None,
    ) -> list[ModelVersion]:
        """Versions under ``below``, newest first; with ``live_at`` the one that was active at that time."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await RegistryRepository(tx).page(model, below, limit, live_at)

    async def history(
        self, ctx: RequestContext, model: str, alias: str, before: UUID | None, limit: int
    ) -> list[AliasInterval]:
        """Times in which versions had ``alias`` (any when empty), latest first, those before ``before``."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await RegistryRepository(tx).intervals(model, alias, before, limit)

    async def register(
        self,
        tx: AsyncConnection,
        manifest: ModelManifest,
        artifact_digest: str,
        training_run_id: UUID,
        champion_digest: str | None = None,
    ) -> Registered:
        """Store what a training made; let it serve, or be compared first, when its gate allows it.

        Runs in the caller's transaction, so that the run, its version and the promotion appear together. The
        same training run registers once: the second time its version is returned and nothing changes.

        Args:
            tx: A transaction of the tenant.
            manifest: Manifest of the version.
            artifact_digest: Its digest, hex.
            training_run_id: The run that made it.
            champion_digest: Version that its gate held it against, hex; None for none.

        Returns:
            The version and what became of it. Call ``forget`` after the commit.
        """
        repository = RegistryRepository(tx)
        await repository.lock(manifest.model)
        known = await repository.by_training_run(training_run_id)
        if known is not None:
            return Registered(known[1], Outcome.KEPT, is_new=False)
        champion = await repository.get(manifest.model, 0)
        version = await repository.insert(
            manifest,
            state=READY if manifest.passed else REJECTED,
            artifact_digest=artifact_digest,
            training_run_id=training_run_id,
            created_at=clock.now(),
        )
        outcome = self._outcome(manifest, champion, champion_digest)
        if outcome is Outcome.PROMOTED:
            reason = "first version" if champion is None else f"not worse than version {champion.version}"
            await repository.activate(
                manifest.model, version, action="PROMOTED", actor=None, reason=reason, at=clock.now()
            )
        elif outcome is Outcome.CHALLENGER:
            assert champion is not None
            reason = f"not worse than version {champion.version} in the backtest"
            await repository.challenge(
                manifest.model, version, SHADOW_SHARE, actor=None, reason=reason, at=clock.now()
            )
        return Registered(version, outcome, is_new=True)

    def _outcome(
        self, manifest: ModelManifest, champion: ModelVersion | None, champion_digest: str | None
    ) -> Outcome:
        if not manifest.passed:
            return Outcome.REJECTED
        if champion is None:
            return Outcome.PROMOTED
        # The gate compared it with the version that served when its snapshot was taken.
        is_judged = is_held_against_champion(manifest) and champion.artifact_digest == champion_digest
        if not is_judged and not is_better(manifest, champion.manifest):
            return Outcome.KEPT
        # Segments have no shadow: nobody can see two of them at once.
        shadowed = self._shadow_s > 0 and manifest.model == PREDICTION
        return Outcome.CHALLENGER if shadowed else Outcome.PROMOTED

    async def inactive_models(self, tx: AsyncConnection) -> list[str]:
        """Models of which no version of the tenant of ``tx`` serves."""
        known = await RegistryRepository(tx).active_models()
        return [model for model in MODELS if model not in known]
