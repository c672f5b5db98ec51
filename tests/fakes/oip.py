"""The Open Inference Protocol without database and workers: real use cases on fake versions and replicas."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from uuid import UUID

import numpy as np

from cohortlens.analytics.predictions import PredictionsService
from cohortlens.analytics.segmentation import SegmentationService
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.clock import now
from cohortlens.core.context import Principal
from cohortlens.core.errors import Unauthenticated
from cohortlens.registry.models import READY, REJECTED, ModelVersion, NoActiveModel, VersionNotFound
from gateway.registry import MethodTable
from gateway.servicers import health, reflection
from gateway.servicers.health import HealthBoard, HealthServicer
from gateway.servicers.inference_v2 import InferenceServicer
from gateway.servicers.inference_v2_policy import SERVICE, add_inference
from tests.fakes.inference import FakeInferenceClient
from tests.fakes.models import prediction_manifest, segmentation_manifest
from tests.unit.gateway.http.support import chain_of

NORTH, SOUTH = UUID(int=1), UUID(int=2)
TOKENS = {"north": NORTH, "south": SOUTH}
COLUMNS = len(SCHEMA.columns)
_SCOPES = frozenset({"analytics.read", "analytics.run"})


async def authenticate(token, *, strict=False):
    if token == "blind":
        return Principal(NORTH, UUID(int=3), UUID(int=4), "viewer", frozenset())
    if token not in TOKENS:
        raise Unauthenticated("the access token is not valid")
    return Principal(TOKENS[token], UUID(int=3), UUID(int=4), "owner", _SCOPES)


def version(manifest, number=1, *, active=True, state=READY):
    return ModelVersion(
        manifest.model, number, state, manifest.digest, manifest, now(), now() if active else None
    )


@dataclass
class FakeRegistry:
    """Versions by tenant."""

    versions: dict = field(default_factory=dict)

    async def active(self, tenant_id, model):
        for one in self.versions.get(tenant_id, []):
            if one.model == model and one.active:
                return one
        raise NoActiveModel(model)

    async def version(self, tenant_id, model, version):
        for one in self.versions.get(tenant_id, []):
            if (one.model, one.version) == (model, version):
                return one
        raise VersionNotFound(model, version)


def oip_world():
    """The chain of the protocol for two tenants: north has models, south has none."""
    north = [
        version(prediction_manifest()),
        version(prediction_manifest(seed=2), 2, active=False),
        version(prediction_manifest(seed=3, passed=False), 3, active=False, state=REJECTED),
        version(segmentation_manifest(), 4),
    ]
    registry, client = FakeRegistry({NORTH: north}), FakeInferenceClient()
    table = MethodTable()
    add_inference(table)
    health.add_health(table)
    reflection.add_reflection(table)
    board = HealthBoard(table.services())
    board.unblock("starting")
    servicer = InferenceServicer(
        PredictionsService(None, None, registry, client),
        SegmentationService(None, None, registry, client),
        registry,
        client,
        board,
    )
    shown = reflection.ReflectionServicer(table)
    servicers = {
        SERVICE: servicer,
        health.SERVICE: HealthServicer(board, table.services),
        **dict.fromkeys(reflection.SERVICES, shown),
    }
    return SimpleNamespace(
        registry=registry,
        client=client,
        board=board,
        servicer=servicer,
        chain=chain_of(table, servicers, authenticate),
    )


def rows_of(count, horizon=0.0):
    """Rows that keep to the schema, shape (count, columns), float32, with an unknown gap in the first."""
    made = np.arange(count * COLUMNS, dtype=np.float32).reshape(count, -1) % 1
    made[:, 0] = np.arange(count) * 3
    made[0, SCHEMA.index("gap_mean")] = np.nan
    made[:, SCHEMA.index("horizon")] = horizon
    return made
