"""Change which version serves: promote and roll back, without a call that waits or fails.

A version is loaded and warmed on every live replica first, then the alias moves. Other processes notice
within ``ACTIVE_FOR_S``; until then both versions answer, each call by the one it began with.
"""

from __future__ import annotations

import time

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.core import clock, idempotency
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import (
    Aborted,
    CohortLensError,
    DeadlineExceeded,
    PermissionDenied,
    Unavailable,
)
from cohortlens.registry.models import (
    READY,
    REJECTED,
    RETIRED,
    GateNotPassed,
    ModelVersion,
    NoPreviousVersion,
    ReasonRequired,
    VersionNotFound,
    VersionNotLoadable,
    VersionNotReady,
    failed_criteria,
    previous_version,
)
from cohortlens.registry.ports import ModelLoader
from cohortlens.registry.repository import RegistryRepository
from cohortlens.registry.service import RegistryService

LOAD_LIMIT_S = 20.0
"""Seconds that loading a version on all replicas may take before the change is given up."""

_FORCING_ROLES = ("admin", "owner")
_COMMIT_S = 0.5
_ATTEMPTS = 3


async def loaded_by_workers(
    loader: ModelLoader, ctx: RequestContext, version: ModelVersion, *, scoring_only: bool = False
) -> None:
    """Return once the live replicas hold the version, warm.

    Raises:
        VersionNotLoadable: A replica refuses it.
        Unavailable: A deployment has no live replica.
        DeadlineExceeded: It took too long.
    """
    deadline = min(ctx.deadline - _COMMIT_S, time.monotonic() + LOAD_LIMIT_S)
    try:
        await loader.load(
            version.model, version.artifact_digest, deadline=deadline, scoring_only=scoring_only
        )
    except (Unavailable, DeadlineExceeded):
        raise
    except CohortLensError as fault:
        raise VersionNotLoadable(version.model, version.version, fault.reason, fault.message) from fault


def check_ready(version: ModelVersion) -> None:
    """Raise VersionNotReady for a version that failed its gate or whose files are removed."""
    if version.state == RETIRED:
        raise VersionNotReady(version.model, version.version, "is retired: its files are removed")
    if version.state != READY:
        failed = failed_criteria(version.manifest)
        raise VersionNotReady(version.model, version.version, f"failed its gate ({failed})")


def check_promotable(ctx: RequestContext, version: ModelVersion, reason: str, *, force: bool) -> None:
    """Raise unless a version may become active.

    Raises:
        GateNotPassed: It failed its gate and nobody forces it.
        ReasonRequired: It is forced without saying why.
        PermissionDenied: ROLE_REQUIRED: a program forces it, or a person who is not admin.
        VersionNotReady: Its files are removed.
    """
    if version.state != REJECTED:
        check_ready(version)
        return
    if not force:
        raise GateNotPassed(version.model, version.version, failed_criteria(version.manifest))
    # Raises for a program: nobody would answer for it.
    _ = ctx.caller.user_id
    if ctx.caller.role not in _FORCING_ROLES:
        raise PermissionDenied("only an admin or owner can force a promotion", reason="ROLE_REQUIRED")
    if not reason.strip():
        raise ReasonRequired


class PromotionsService:
    """Use cases that change the active version.

    Args:
        db: The database.
        registry: Remembers the active version; told to forget it.
        loader: Loads versions on the replicas.
    """

    def __init__(self, db: Database, registry: RegistryService, loader: ModelLoader) -> None:
        self._db = db
        self._registry = registry
        self._loader = loader

    async def promote(
        self, ctx: RequestContext, model: str, version: int, reason: str, *, force: bool = False
    ) -> ModelVersion:
        """Make ``version`` the active one; the active one stays as it is. A challenger that wins is cleared.

        Raises:
            VersionNotFound: No such version.
            GateNotPassed: It failed its gate; ``force`` promotes it all the same.
            ReasonRequired: ``force`` without a reason.
            PermissionDenied: ROLE_REQUIRED: forced by somebody else than an admin or owner.
            VersionNotReady: Its files are removed.
            VersionNotLoadable: The workers cannot load it; nothing changed.
            Unavailable: No worker is live to load it (``WORKERS_UNAVAILABLE``); nothing changed.
            DeadlineExceeded: Loading took too long; nothing changed.
        """
        found = await self._registry.version(ctx.tenant_id, model, version)
        if found.active:
            return found
        check_promotable(ctx, found, reason, force=force)
        await loaded_by_workers(self._loader, ctx, found)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            repository = RegistryRepository(tx)
            await repository.lock(model)
            present = await repository.get(model, version)
            if present is None:
                raise VersionNotFound(model, version)
            if not present.active:
                await self._activate(ctx, repository, present, "PROMOTED", reason)
            promoted = await repository.get(model, version)
            if not present.active:
                forced = {"forced": True} if present.state == REJECTED else {}
                await _note(tx, ctx, "registry.model.promoted", present, **forced)
        self._registry.forget(ctx.tenant_id)
        assert promoted is not None
        return promoted

    async def roll_back(self, ctx: RequestContext, model: str, reason: str) -> ModelVersion:
        """Make the version active that was active before the present one was promoted.

        Replicas that explain are loaded too, but a roll-back does not wait for them to come back: it is the
        way out of trouble.

        Raises:
            NoPreviousVersion: There was none.
            VersionNotLoadable, Unavailable, DeadlineExceeded: As for ``promote``; nothing changed.
            Aborted: Others kept changing the active version meanwhile.
        """
        for _ in range(_ATTEMPTS):
            found = await self._before(ctx, model)
            await loaded_by_workers(self._loader, ctx, found, scoring_only=True)
            restored = await self._restore(ctx, found, reason)
            if restored is not None:
                self._registry.forget(ctx.tenant_id)
                return restored
        raise Aborted("the active version kept changing meanwhile; look at it and try again")

    async def _before(self, ctx: RequestContext, model: str) -> ModelVersion:
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await _version_before(RegistryRepository(tx), model)

    async def _restore(self, ctx: RequestContext, loaded: ModelVersion, reason: str) -> ModelVersion | None:
        """The version, active again; None when by now it is no longer the one to go back to."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            repository = RegistryRepository(tx)
            await repository.lock(loaded.model)
            found = await _version_before(repository, loaded.model)
            if found.version != loaded.version:
                return None
            await self._activate(ctx, repository, found, "ROLLED_BACK", reason)
            restored = await repository.get(found.model, found.version)
            idempotency.made(version=found.version)
            await _note(tx, ctx, "registry.model.rolled_back", found)
            return restored

    async def _activate(
        self,
        ctx: RequestContext,
        repository: RegistryRepository,
        version: ModelVersion,
        action: str,
        why: str,
    ) -> None:
        model, number, at = version.model, version.version, clock.now()
        forced = action == "PROMOTED" and version.state == REJECTED
        await repository.activate(
            model, number, action=action, actor=ctx.caller.id, reason=why, at=at, forced=forced
        )
        # It cannot be compared with itself.
        await repository.clear_challenger(model, at, only=number)


async def _note(
    tx: AsyncConnection, ctx: RequestContext, action: str, version: ModelVersion, **details: bool
) -> None:
    resource = f"models/{version.model}/versions/{version.version}"
    await AuditTrail(tx).append(ctx, action, resource=resource, details=details)


async def _version_before(repository: RegistryRepository, model: str) -> ModelVersion:
    version = previous_version(await repository.history(model))
    found = None if version is None else await repository.get(model, version)
    if found is None:
        raise NoPreviousVersion(model)
    return found
