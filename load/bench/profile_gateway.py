"""The gateway that ``make profile-serving`` measures: real services over servers of its own, no workers."""

from __future__ import annotations

import base64
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cohortlens.analytics.ports import Features, InferenceClient, Scores
from cohortlens.bootstrap.services import Services
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.config import Secret, Url
from cohortlens.core.settings import CoreConfig
from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.embedded.redis import EmbeddedRedis
from cohortlens.identity.models import TokenPair
from cohortlens.migrations import runner
from cohortlens.v1 import analytics_pb2 as pb
from gateway.microbatch.batcher import MicroBatcher
from load.bench.tenants import activate_untrained, registered


class InstantReplica:
    """An ``InferenceClient`` that answers every row at once with the same values; it scores only."""

    def __init__(self) -> None:
        self._known: dict[int, Scores] = {}

    async def score(
        self,
        _deployment: str,
        _artifact_digest: str,
        _schema_hash: str,
        _target: str,
        features: Features,
        *,
        deadline: float,  # noqa: ARG002 - the port's name
        tenant: str = "",  # noqa: ARG002 - the port's name
    ) -> Scores:
        """Arrays of shape (n,) for ``value``, ``lower`` and ``upper``; made once per number of rows."""
        count = len(features)
        scores = self._known.get(count)
        if scores is None:
            values = (("value", 2.5), ("lower", 1.25), ("upper", 5.0))
            scores = self._known[count] = {name: np.full(count, value) for name, value in values}
        return scores

    def replica_count(self, _deployment: str) -> int:
        """One."""
        return 1

    async def live_replicas(self) -> dict[str, int]:
        """One prediction replica."""
        return {"prediction": 1}

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the instant replica only scores; {name} was asked")


@dataclass
class Setup:
    """What the stages are built from.

    Attributes:
        direct: Services whose use cases reach the instant replica at once.
        batched: Services with the micro-batcher in between, as in production.
        request: The call that is measured.
        session: Tokens of the tenant's owner.
    """

    direct: Services
    batched: Services
    request: pb.PredictRequest
    session: TokenPair
    _renew_at: float = 0.0

    async def token(self) -> str:
        """An access token of the tenant's owner that holds for some minutes."""
        now = time.monotonic()
        if now >= self._renew_at:
            self.session = await self.direct.identity.core.sessions.renew(self.session.refresh_token)
            self._renew_at = now + self.session.expires_in_s / 2
        return self.session.access_token


def predict_request(rows: int) -> pb.PredictRequest:
    """A Predict of ``rows`` vectors that keep to the feature schema."""
    values = [float(min(max(1.0, column.minimum), column.maximum)) for column in SCHEMA.columns]
    return pb.PredictRequest(task=pb.PREDICTION_TASK_SPEND, vectors=[pb.FeatureVector(values=values)] * rows)


@asynccontextmanager
async def prepared(
    rows: int, batched_by: Callable[[InferenceClient], InferenceClient] | None = None
) -> AsyncIterator[Setup]:
    """PostgreSQL, Valkey, a tenant and its model version; nothing of it stays.

    Args:
        rows: Vectors per call.
        batched_by: Makes the inference client of the batched services; None for one of the instant replica.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cl-profile-")))
        postgres = EmbeddedPostgres(folder / "postgres", 0, ephemeral=True)
        urls = postgres.start()
        stack.callback(postgres.stop)
        runner.upgrade(urls.admin)
        redis = EmbeddedRedis(folder / "redis", 0)
        redis_url = redis.start()
        stack.callback(redis.stop)
        core = CoreConfig(
            data_dir=folder,
            database_url=Url(urls.runtime),
            redis_url=redis_url,
            kek=Secret(base64.b64encode(bytes(32)).decode()),
        )
        async with contextlib.AsyncExitStack() as opened:
            direct = await Services.open(core, wrap_inference=_instant)
            opened.push_async_callback(direct.close)
            batched = await Services.open(core, wrap_inference=batched_by or _gathered)
            opened.push_async_callback(batched.close)
            owner = await registered(direct.db)
            session = await direct.identity.core.sessions.open(
                owner.tenant_id,
                owner.user_id,
                device_name="profile",
                address="127.0.0.1",
                user_agent="",
                amr=("pwd",),
            )
            await activate_untrained(direct, session.tenant_id)
            yield Setup(direct, batched, predict_request(rows), session)


def _instant(_client: InferenceClient) -> InferenceClient:
    return InstantReplica()


def _gathered(_client: InferenceClient) -> InferenceClient:
    return MicroBatcher(InstantReplica())
