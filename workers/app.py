"""The Serve application: which deployments there are, and how a replica hangs in Serve.

Serve places, checks, restarts and drains; calls never pass through it, they go to the replica's own server.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, TypedDict

import ray
from ray import serve
from ray.serve import RunTarget
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.core.config import SettingsInvalid
from cohortlens.core.telemetry import configure_logging
from workers.config import WorkerConfig
from workers.deployments.base import GRACE_S, LEAVE_S, Replica
from workers.deployments.explanation import ExplanationReplica
from workers.deployments.inference import Model
from workers.deployments.loopback import confine
from workers.deployments.prediction import PredictionReplica
from workers.deployments.segmentation import SegmentationReplica
from workers.scaling import LOAD, LOOK_BACK_S, LoadGauge, Targets, Work, replicas_needed

DEPLOYMENTS: tuple[type[Replica], ...] = (SegmentationReplica, PredictionReplica, ExplanationReplica)


class UserConfig(TypedDict):
    """What Serve may change without a restart.

    Attributes:
        models: Digests of model versions to hold ready.
    """

    models: list[str]


class Served:
    """A replica in Serve's hands.

    Args:
        kind: What it serves.
        config: Settings.
    """

    def __init__(self, kind: type[Replica], config: WorkerConfig) -> None:
        # The supervisor imports this module too and must not pay for the numeric libraries.
        from workers.runtime.bundle import Bundle  # noqa: PLC0415

        confine()
        config = here(config)
        configure_logging(config.log_level, config.log_format)
        store = LocalArtifactStore(config.artifacts)

        def load(digest: str) -> Model:
            bundle = Bundle.load(store, digest)
            bundle.warm(explain="explain" in kind.methods)
            return bundle

        tag = serve.get_replica_context().replica_id.unique_id
        self._replica = kind(f"{tag}-{os.getpid()}", config, load)

    async def reconfigure(self, user_config: UserConfig) -> None:
        """Open at the first call; hold the named models ready."""
        if not self._replica.opened:
            await self._replica.open()
        for digest in user_config["models"]:
            await self._replica.inference.load(digest)

    async def check_health(self) -> None:
        """A real call through the replica's own server.

        Raises:
            Unhealthy: Serve replaces the replica.
        """
        await self._replica.check()

    async def __del__(self) -> None:
        """Drain; Serve awaits this before it ends the process."""
        await self._replica.close()


class ScalingServed(Served):
    """A replica that tells its load; only for deployments with an ``autoscaling_config``.

    Serve asks every class that has the method for its load, and fails the start of a replica whose deployment
    has nothing to do with it; hence this class apart.

    Args:
        kind: What it serves.
        config: Settings.
    """

    def __init__(self, kind: type[Replica], config: WorkerConfig) -> None:
        super().__init__(kind, config)
        carried = Targets(config.scale_target_busy, config.scale_target_rows, config.scale_target_queue)
        self._gauge = LoadGauge(carried, self._work)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Load since the last report."""
        return {LOAD: self._gauge.load()}

    def _work(self) -> Work:
        record = self._replica.record()
        return Work(record.rows_in_flight, record.queue_ms / 1000)


def here(config: WorkerConfig) -> WorkerConfig:
    """The settings as they hold on the host of this replica: the supervisor's are those of the first host.

    Raises:
        SettingsInvalid: A replica must not listen on this host's address: TLS is missing.
    """
    if not config.spans_hosts:
        return config
    mine = ray.get_runtime_context().get_node_id()
    address = next(one["NodeManagerAddress"] for one in ray.nodes() if one["NodeID"] == mine)
    found = replace(config, bind=address)
    if faults := found.faults():
        raise SettingsInvalid(faults)
    return found


def targets(config: WorkerConfig) -> list[RunTarget]:
    """One Serve application for each deployment, so that they start at the same time and fail apart."""
    return [_target(kind, config) for kind in DEPLOYMENTS]


def _target(kind: type[Replica], config: WorkerConfig) -> RunTarget:
    deployment = serve.deployment(
        name=kind.deployment,
        **_number(config),
        user_config={"models": []},
        ray_actor_options={"num_cpus": 0},
        health_check_period_s=2.0,
        health_check_timeout_s=6.0,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=LEAVE_S + GRACE_S + 1.5,
    )(ScalingServed if config.scales else Served)
    return RunTarget(target=deployment.bind(kind, config), name=kind.deployment, route_prefix=None)


def _number(config: WorkerConfig) -> dict[str, Any]:
    """How many replicas: a number, or bounds and what moves it between them."""
    if not config.scales:
        return {"num_replicas": config.replicas}
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=config.replicas,
            max_replicas=config.replicas_most,
            look_back_period_s=LOOK_BACK_S,
            upscale_delay_s=config.scale_up_delay,
            downscale_delay_s=config.scale_down_delay,
            policy=AutoscalingPolicy(policy_function=replicas_needed),  # type: ignore[no-untyped-call]
        )
    }
