"""Rows of features are scored for other doors: the values Predict gives, by any version that may serve."""

from __future__ import annotations

import numpy as np
import pytest

from cohortlens.analytics.models import Task
from cohortlens.analytics.options import HorizonUnsupported
from cohortlens.contracts.features import SCHEMA, ContractFault
from cohortlens.registry.models import VersionNotFound, VersionNotReady
from tests.fakes.models import install, prediction_manifest, segmentation_manifest

HORIZON = SCHEMA.index("horizon")


def matrix(rows=3):
    made = np.arange(rows * len(SCHEMA.columns), dtype=np.float32).reshape(rows, -1) % 1
    made[:, 0] = np.arange(rows) * 3
    return made


async def test_a_matrix_is_scored_at_the_longest_horizon_and_left_as_it_was(world, superuser):
    rows = matrix()
    rows.flags.writeable = False
    scores, version = await world.predictions.score_matrix(world.north.context(), Task.SPEND, rows)
    assert {name: values.shape for name, values in scores.items()} == dict.fromkeys(
        ("value", "lower", "upper"), (3,)
    )
    assert version.version == 1
    assert world.client.sent[-1].features[:, HORIZON].tolist() == [90] * 3
    assert rows[:, HORIZON].tolist() == [0] * 3
    assert await superuser.fetchval("SELECT count(*) FROM predictions") == 0


async def test_a_named_version_scores_although_another_is_active(world):
    number, promoted = await install(
        world.registry, world.db, world.north.tenant_id, prediction_manifest(loss=0.9, seed=2)
    )
    assert not promoted
    ctx = world.north.context()
    _, version = await world.predictions.score_matrix(
        ctx, Task.PURCHASES, matrix(), horizon_days=30, version=number
    )
    assert version.version == number
    assert world.client.sent[-1].digest == version.artifact_digest
    assert world.client.sent[-1].features[0, HORIZON] == 30


async def test_a_version_that_failed_its_gate_or_is_not_there_scores_nothing(world):
    number, _ = await install(
        world.registry, world.db, world.north.tenant_id, prediction_manifest(passed=False, seed=3)
    )
    ctx = world.north.context()
    with pytest.raises(VersionNotReady):
        await world.predictions.score_matrix(ctx, Task.SPEND, matrix(), version=number)
    with pytest.raises(VersionNotFound):
        await world.segmentation.score_matrix(ctx, matrix(), version=9)
    assert world.client.sent == []


async def test_rows_that_do_not_keep_to_the_schema_are_refused_by_row_and_column(world):
    ctx, bad = world.north.context(), matrix()
    bad[2, SCHEMA.index("age")] = -1
    for refused in (
        world.predictions.score_matrix(ctx, Task.SPEND, bad),
        world.segmentation.score_matrix(ctx, bad),
    ):
        with pytest.raises(ContractFault) as fault:
            await refused
        assert (fault.value.reason, fault.value.row, fault.value.column) == ("FEATURE_OUT_OF_RANGE", 2, "age")
    with pytest.raises(ContractFault, match="columns"):
        await world.predictions.score_matrix(ctx, Task.SPEND, bad[:, 1:])
    with pytest.raises(HorizonUnsupported):
        await world.predictions.score_matrix(ctx, Task.SPEND, matrix(), horizon_days=31)


async def test_segments_of_a_matrix_are_indexes_into_the_version_s_segments(world):
    scores, version = await world.segmentation.score_matrix(world.north.context(), matrix())
    assert [version.manifest.segments[int(at)].key for at in scores["segment"]] == ["s1", "s2", "s2"]
    assert scores["distance"].tolist() == [3.0, 0.0, 3.0]


async def test_a_named_segmentation_version_is_used(world):
    number, _ = await install(
        world.registry, world.db, world.north.tenant_id, segmentation_manifest(eta2=0.1, seed=4)
    )
    _, version = await world.segmentation.score_matrix(world.north.context(), matrix(), version=number)
    assert version.version == number
