"""A challenger: a version that is compared with the active one on live calls before anybody relies on it."""

from __future__ import annotations

from cohortlens.audit.trail import AuditTrail
from cohortlens.core import clock
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.registry.models import (
    Challenger,
    ChallengerIsActive,
    NoActiveModel,
    NoChallenger,
    VersionNotFound,
)
from cohortlens.registry.ports import ModelLoader
from cohortlens.registry.promotions import check_ready, loaded_by_workers
from cohortlens.registry.repository import RegistryRepository
from cohortlens.registry.service import RegistryService


class ChallengersService:
    """Use cases of challengers.

    Args:
        db: The database.
        registry: Remembers the active version and its challenger; told to forget them.
        loader: Loads versions on the replicas.
    """

    def __init__(self, db: Database, registry: RegistryService, loader: ModelLoader) -> None:
        self._db = db
        self._registry = registry
        self._loader = loader

    async def set(
        self, ctx: RequestContext, model: str, version: int, share_ratio: float, reason: str
    ) -> Challenger:
        """Let ``version`` see a share of the calls from now on; replaces the challenger there is.

        Args:
            ctx: The request.
            model: Name of the model.
            version: Number of the version.
            share_ratio: Share of calls, in (0, 1].
            reason: Why, for the history.

        Raises:
            NoActiveModel: There is nothing to compare it with.
            ChallengerIsActive: It serves itself.
            VersionNotFound, VersionNotReady, VersionNotLoadable: See their texts.
            Unavailable: No worker is live to load it (``WORKERS_UNAVAILABLE``).
        """
        found = await self._registry.version(ctx.tenant_id, model, version)
        check_ready(found)
        await loaded_by_workers(self._loader, ctx, found, scoring_only=True)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            repository = RegistryRepository(tx)
            await repository.lock(model)
            champion, present = await repository.get(model, 0), await repository.get(model, version)
            if present is None:
                raise VersionNotFound(model, version)
            if champion is None:
                raise NoActiveModel(model)
            if champion.version == version:
                raise ChallengerIsActive(model, version)
            await repository.challenge(
                model, version, share_ratio, actor=ctx.caller.id, reason=reason, at=clock.now()
            )
            challenger = await repository.challenger(model)
            await AuditTrail(tx).append(
                ctx,
                "registry.challenger.set",
                resource=f"models/{model}/versions/{version}",
                details={"share_ratio": share_ratio},
            )
        self._registry.forget(ctx.tenant_id)
        assert challenger is not None
        return challenger

    async def clear(self, ctx: RequestContext, model: str) -> None:
        """End the comparison; what was measured stays.

        Raises:
            NoChallenger: There is none.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            repository = RegistryRepository(tx)
            await repository.lock(model)
            if not await repository.clear_challenger(model, clock.now()):
                raise NoChallenger(model)
            await AuditTrail(tx).append(ctx, "registry.challenger.cleared", resource=f"models/{model}")
        self._registry.forget(ctx.tenant_id)

    async def get(self, ctx: RequestContext, model: str) -> Challenger:
        """The challenger.

        Raises:
            NoChallenger: There is none.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await RegistryRepository(tx).challenger(model)
        if found is None:
            raise NoChallenger(model)
        return found
