"""Hold a version ready on the replicas that will serve it, before its first call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine

from sqlalchemy import text

from cohortlens.analytics.ports import InferenceClient
from cohortlens.contracts.recent_models import AGE_S, MOST, key_of
from cohortlens.core.db import Database
from cohortlens.core.errors import Unavailable
from cohortlens.core.redis import RedisClient, translated
from cohortlens.core.telemetry import get_logger
from cohortlens.registry.models import PREDICTION, SEGMENTATION

_SCORING = {SEGMENTATION: "segmentation", PREDICTION: "prediction"}
_EXPLAINING = {PREDICTION: "explanation"}
_BEHIND = 0.9
_log = get_logger(__name__)


class ModelWarmup:
    """Implements ``cohortlens.registry.ports.ModelLoader``.

    Args:
        client: Reaches the replicas.
    """

    def __init__(self, client: InferenceClient) -> None:
        self._client = client

    async def load(
        self, model: str, artifact_digest: str, *, deadline: float, scoring_only: bool = False
    ) -> None:
        """See the port; the deployments load at the same time."""
        loads = [self._client.load_model(_SCORING[model], artifact_digest, deadline=deadline)]
        if model in _EXPLAINING:
            explaining = self._client.load_model(_EXPLAINING[model], artifact_digest, deadline=deadline)
            loads.append(_if_live(explaining) if scoring_only else explaining)
        # All are awaited: a refusal of one must not leave another's load running unobserved.
        for fault in _worst_first(await asyncio.gather(*loads, return_exceptions=True)):
            raise fault


async def _if_live(loading: Coroutine[None, None, int]) -> int:
    try:
        return await loading
    except Unavailable as fault:
        _log.warning("went on without replicas that explain", reason=fault.reason)
        return 0


def _worst_first(outcomes: list[int | BaseException]) -> list[BaseException]:
    """Faults of the version itself before those of the moment."""
    faults = [one for one in outcomes if isinstance(one, BaseException)]
    return sorted(faults, key=lambda fault: isinstance(fault, Unavailable))


async def remember_active(db: Database, redis: RedisClient) -> int:
    """Tell fresh replicas of the active versions, behind whatever was really used lately.

    Redis may have been emptied, and a version that was promoted long ago and not called since is forgotten by
    the replicas; both would make its next call wait for a load.

    Returns:
        Versions told.

    Raises:
        Unavailable: PostgreSQL or Redis is away.
    """
    async with db.transaction() as tx:
        found = (await tx.execute(text("SELECT * FROM app.active_models(:most)"), {"most": MOST})).all()
    oldest = time.time() - _BEHIND * AGE_S
    with translated():
        async with redis.pipeline(transaction=False) as pipe:
            for rank, row in enumerate(found):
                for deployment in filter(None, (_SCORING[row.model], _EXPLAINING.get(row.model))):
                    pipe.zadd(key_of(deployment), {row.artifact_digest: oldest - rank / 1000}, gt=True)
            await pipe.execute()
    return len(found)
