"""The backtest of a version, read from the artifact store."""

from __future__ import annotations

import asyncio

from cohortlens.contracts.artifacts import ArtifactMissing, LocalArtifactStore
from cohortlens.contracts.backtest import BACKTEST_FILE, Backtest
from cohortlens.core.context import RequestContext
from cohortlens.registry.models import BacktestMissing
from cohortlens.registry.service import RegistryService


class Backtests:
    """Reads backtests.

    Args:
        registry: Knows the versions.
        artifacts: Where their files lie.
    """

    def __init__(self, registry: RegistryService, artifacts: LocalArtifactStore) -> None:
        self._registry = registry
        self._artifacts = artifacts

    async def get(self, ctx: RequestContext, model: str, version: int) -> tuple[int, Backtest]:
        """The number of a version and its backtest; the active version when ``version`` is 0.

        Raises:
            VersionNotFound: No such version, or none is active.
            BacktestMissing: An earlier release trained it, its data allowed none, or its files are removed.
            ArtifactCorrupt: The file is damaged.
        """
        found = await self._registry.get_version(ctx, model, version)
        digest = found.manifest.files.get(BACKTEST_FILE)
        if digest is None:
            raise BacktestMissing(found.version, "its data or its release made none")
        try:
            text = await asyncio.to_thread(self._artifacts.read_verified, digest)
        except ArtifactMissing:
            raise BacktestMissing(found.version, "its files are removed") from None
        return found.version, Backtest.from_json(text)
