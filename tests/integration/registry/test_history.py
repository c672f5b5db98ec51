"""The history answers which version was live at a time, to the instant, and who forced what."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cohortlens.analytics.warmup import ModelWarmup
from cohortlens.core.context import PrincipalKind
from cohortlens.core.errors import PermissionDenied
from cohortlens.registry.models import GateNotPassed, ReasonRequired
from cohortlens.registry.promotions import PromotionsService
from cohortlens.registry.service import RegistryService
from tests.fakes.inference import FakeInferenceClient
from tests.fakes.models import install, prediction_manifest, with_criterion

INSTANT = timedelta(microseconds=1)


@pytest.fixture
def registry(database):
    return RegistryService(database)


@pytest.fixture
def promotions(database, registry):
    return PromotionsService(database, registry, ModelWarmup(FakeInferenceClient()))


async def live_at(registry, ctx, when):
    found = await registry.list_versions(ctx, "prediction", below=None, limit=9, live_at=when)
    return [one.version for one in found]


async def test_every_instant_belongs_to_the_version_that_was_active_then(
    registry, promotions, database, tenants
):
    ctx, tenant = tenants[0].context(), tenants[0].tenant_id
    for seed in range(2):
        await install(registry, database, tenant, prediction_manifest(loss=0.8 + seed, seed=seed))
    await promotions.promote(ctx, "prediction", 2, "newer")
    await promotions.roll_back(ctx, "prediction", "worse")
    intervals = await registry.history(ctx, "prediction", "CHAMPION", None, 9)
    assert [(one.version, one.action, one.reason) for one in intervals] == [
        (1, "ROLLED_BACK", "worse"),
        (2, "PROMOTED", "newer"),
        (1, "PROMOTED", "first version"),
    ]
    last, middle, first = intervals
    assert first.actor is None
    assert last.actor == tenants[0].user_id
    assert (first.end, middle.end, last.end) == (middle.start, last.start, None)
    assert await live_at(registry, ctx, first.start - INSTANT) == []
    assert await live_at(registry, ctx, first.start) == [1]
    assert await live_at(registry, ctx, middle.start - INSTANT) == [1]
    assert await live_at(registry, ctx, middle.start) == [2]
    assert await live_at(registry, ctx, last.start - INSTANT) == [2]
    assert await live_at(registry, ctx, last.start) == [1]
    assert await live_at(registry, ctx, last.start + timedelta(days=9)) == [1]


async def test_the_history_is_paged_from_the_latest_back(registry, promotions, database, tenants):
    ctx = tenants[0].context()
    for seed in range(3):
        await install(registry, database, tenants[0].tenant_id, prediction_manifest(loss=0.8, seed=seed))
    whole = await registry.history(ctx, "prediction", "", None, 9)
    first = await registry.history(ctx, "prediction", "", None, 2)
    rest = await registry.history(ctx, "prediction", "", first[-1].interval_id, 9)
    assert first + rest == whole
    assert [one.version for one in whole] == [3, 2, 1]
    assert await registry.history(tenants[1].context(), "prediction", "", None, 9) == []


async def test_who_forces_a_version_past_its_gate_says_why_and_the_history_keeps_it(
    registry, promotions, database, tenants, superuser
):
    tenant, ctx = tenants[0], tenants[0].context()
    await install(registry, database, tenant.tenant_id, prediction_manifest())
    await install(registry, database, tenant.tenant_id, prediction_manifest(loss=1.3, passed=False, seed=1))
    with pytest.raises(GateNotPassed, match=r"is 1\.3, bound 1"):
        await promotions.promote(ctx, "prediction", 2, "I want it")
    with pytest.raises(ReasonRequired):
        await promotions.promote(ctx, "prediction", 2, "  ", force=True)
    with pytest.raises(PermissionDenied, match="admin"):
        await promotions.promote(tenant.context(role="analyst"), "prediction", 2, "why", force=True)
    program = tenant.context()
    object.__setattr__(program.principal, "kind", PrincipalKind.API_KEY)
    with pytest.raises(PermissionDenied, match="person"):
        await promotions.promote(program, "prediction", 2, "why", force=True)
    assert (await registry.active(tenant.tenant_id, "prediction")).version == 1
    await promotions.promote(ctx, "prediction", 2, "the holdout was Christmas", force=True)
    assert (await registry.active(tenant.tenant_id, "prediction")).version == 2
    latest, first = await registry.history(ctx, "prediction", "CHAMPION", None, 9)
    assert (latest.forced, latest.reason, first.forced) == (True, "the holdout was Christmas", False)
    told = await superuser.fetchval(
        "SELECT convert_from(canonical, 'UTF8') FROM audit_log WHERE action = 'registry.model.promoted' "
        "ORDER BY seq DESC LIMIT 1"
    )
    assert '"forced":true' in told


async def test_force_changes_nothing_for_a_version_that_passed(registry, promotions, database, tenants):
    ctx = tenants[0].context()
    for seed in range(2):
        await install(
            registry, database, tenants[0].tenant_id, prediction_manifest(loss=0.8 + seed, seed=seed)
        )
    await promotions.promote(ctx, "prediction", 2, "", force=True)
    (latest, _) = await registry.history(ctx, "prediction", "CHAMPION", None, 9)
    assert latest.forced is False


async def test_a_version_that_its_gate_held_against_the_champion_needs_no_other_comparison(
    registry, database, tenants
):
    tenant, first = tenants[0].tenant_id, prediction_manifest(loss=0.5)
    await install(registry, database, tenant, first)
    # Against the naive forecast it looks worse than the champion did, on other folds; on the same it is better.
    judged = with_criterion(prediction_manifest(loss=0.9, seed=1), "purchases.loss_vs_champion", 0.97)
    assert await install(registry, database, tenant, judged, champion=first.digest) == (2, True)


async def test_a_version_held_against_another_champion_is_not_promoted_on_that(registry, database, tenants):
    tenant, first = tenants[0].tenant_id, prediction_manifest(loss=0.5)
    await install(registry, database, tenant, first)
    judged = with_criterion(prediction_manifest(loss=0.9, seed=1), "purchases.loss_vs_champion", 0.97)
    assert await install(registry, database, tenant, judged, champion="f" * 64) == (2, False)
    assert (await registry.version(tenant, "prediction", 2)).state == "READY"


async def test_a_better_version_is_compared_first_when_a_time_in_the_shadow_is_set(database, tenants):
    registry, tenant = RegistryService(database, shadow_s=60.0), tenants[0].tenant_id
    assert await install(registry, database, tenant, prediction_manifest()) == (1, True)
    assert await install(registry, database, tenant, prediction_manifest(seed=1)) == (2, False)
    active = await registry.active(tenant, "prediction")
    assert (active.version, active.challenger.version, active.challenger.share_ratio) == (1, 2, 0.1)
    (challenged, _) = await registry.history(tenants[0].context(), "prediction", "", None, 9)
    assert (challenged.alias, challenged.action, challenged.actor) == ("CHALLENGER", "CHALLENGED", None)
    assert (await registry.version(tenant, "prediction", 2)).is_challenger
