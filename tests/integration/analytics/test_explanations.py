"""Explain and GetGlobalImportance: methods by plan and setting, stored predictions, what a version is moved by."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from cohortlens.billing.models import PlanFeatureRequired
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.errors import InvalidArgument, NotFound
from cohortlens.core.paging import PageTokens
from cohortlens.v1 import analytics_pb2 as pb
from cohortlens.v1.explanations_pb2 import CounterfactualGoal, GetGlobalImportanceRequest
from gateway.servicers.analytics import AnalyticsServicer
from gateway.servicers.explanations import ExplanationsServicer
from gateway.servicers.joined import joined
from tests.fakes.models import blended_manifest, install, prediction_manifest


async def better(feature, rank):
    return f"{feature}-above-{rank}"


@pytest.fixture
def served(world):
    services = SimpleNamespace(
        analytics=world,
        features=world.features,
        customers=world.features._customers,
        registry=world.registry,
        page_tokens=PageTokens(b"k" * 32),
        config=SimpleNamespace(explain_method="lime"),
        billing=SimpleNamespace(catalogue=SimpleNamespace(with_feature=better)),
    )

    def call(tenant, *features):
        plan = SimpleNamespace(features=frozenset({"explain.shap", *features}), rank=1)
        return SimpleNamespace(context=tenant.context(), entitlement=plan)

    return SimpleNamespace(
        analytics=joined(AnalyticsServicer(services), ExplanationsServicer(services)),
        north=call(world.north),
        south=call(world.south),
        professional=call(world.north, "explain.lime"),
        world=world,
    )


def sent(kind, reply):
    """A reply as the caller reads it."""
    return kind.FromString(reply.SerializeToString())


async def test_a_line_needs_its_plan_and_is_the_installation_s_method_where_the_plan_has_it(served):
    request = pb.ExplainRequest(task=pb.PREDICTION_TASK_SPEND, customers=["external:c6"])
    (told,) = sent(pb.ExplainResponse, await served.analytics.Explain(request, served.north)).explanations
    assert told.method == pb.EXPLANATION_METHOD_SHAP
    assert not told.HasField("lime")
    lines = [
        sent(pb.ExplainResponse, await served.analytics.Explain(request, served.professional))
        for _ in range(2)
    ]
    (told,) = lines[0].explanations
    assert lines[0] == lines[1]
    assert told.method == pb.EXPLANATION_METHOD_LIME
    assert (told.lime.samples, told.lime.r2, told.lime.low_fidelity) == (5000, 1.0, False)
    assert served.world.client.explained[-1] == ("lime", (told.lime.seed,))
    request.seed = 7
    (seeded,) = sent(
        pb.ExplainResponse, await served.analytics.Explain(request, served.professional)
    ).explanations
    assert seeded.lime.seed == 7
    request.method = pb.EXPLANATION_METHOD_LIME
    with pytest.raises(PlanFeatureRequired) as refused:
        await served.analytics.Explain(request, served.north)
    assert refused.value.metadata["upgrade_to"] == "explain.lime-above-1"
    request.method, request.interventional = pb.EXPLANATION_METHOD_SHAP, True
    await served.analytics.Explain(request, served.north)
    assert served.world.client.explained[-1] == ("shap_interventional", ())


async def test_a_stored_prediction_is_explained_by_what_made_it(served):
    asked = pb.PredictRequest(task=pb.PREDICTION_TASK_SPEND, customers=["external:c6"], horizon_days=30)
    (made,) = sent(pb.PredictResponse, await served.analytics.Predict(asked, served.north)).predictions
    request = pb.ExplainRequest(task=pb.PREDICTION_TASK_SPEND, prediction=made.prediction)
    (told,) = sent(pb.ExplainResponse, await served.analytics.Explain(request, served.north)).explanations
    assert told.value == pytest.approx(made.value, rel=1e-12)
    assert (told.horizon_days, told.snapshot_id, told.model_version) == (30, made.snapshot_id, 1)
    assert (told.customer, told.external_id) == (made.customer, "c6")
    with pytest.raises(NotFound):
        await served.analytics.Explain(request, served.south)
    request.task = pb.PREDICTION_TASK_PURCHASES
    with pytest.raises(InvalidArgument, match="SPEND"):
        await served.analytics.Explain(request, served.north)
    request.customers.append("external:c6")
    with pytest.raises(InvalidArgument, match="not both"):
        await served.analytics.Explain(request, served.north)


async def test_importance_is_that_of_the_version_strongest_first(served):
    request = GetGlobalImportanceRequest(model="prediction", top=2)
    assert not (await served.analytics.GetGlobalImportance(request, served.north)).targets
    manifest = replace(
        prediction_manifest(),
        importance={"spend": {"since": 1.0, "x": 3.0, "age": 0.0}},
        metrics={"spend.fidelity_r2": 0.98},
    )
    world = served.world
    await install(world.registry, world.db, world.north.tenant_id, manifest)
    found = await served.analytics.GetGlobalImportance(request, served.north)
    assert (found.version, len(found.targets)) == (2, 1)
    told = [(one.feature, one.importance, one.share_ratio) for one in found.targets[0].features]
    assert told == [("x", 3.0, 0.75), ("since", 1.0, 0.25)]
    assert found.targets[0].fidelity_r2 == 0.98
    with pytest.raises(NotFound):
        await served.analytics.GetGlobalImportance(
            GetGlobalImportanceRequest(model="prediction", version=9), served.north
        )


def counterfactual(**goal):
    return pb.ExplainRequest(
        task=pb.PREDICTION_TASK_SPEND,
        customers=["external:c1", "external:c4"],
        method=pb.EXPLANATION_METHOD_COUNTERFACTUAL,
        goal=CounterfactualGoal(**goal),
    )


async def test_the_smallest_action_into_a_segment_is_found_from_the_history_and_holds_when_asked_again(
    served,
):
    request = counterfactual(segment="s2")
    with pytest.raises(PlanFeatureRequired):
        await served.analytics.Explain(request, served.north)
    told = (await served.analytics.Explain(request, served.professional)).explanations
    # The stand-in's second segment holds who came back three times; c1 has come back once, c4 four times.
    one, four = (row.counterfactual for row in told)
    assert (one.found, one.purchase_days, one.segment_before, one.segment_after) == (True, 2, "s1", "s2")
    assert (one.amount, one.currency, one.holds_already) == (0.62, "USD", False)
    assert (four.found, four.holds_already, four.tried, four.segment_after) == (False, True, 0, "")
    asked = served.world.client.sent[-1].features
    assert asked.shape[1] == len(SCHEMA.columns)
    change = counterfactual(other_segment=True)
    told = (await served.analytics.Explain(change, served.professional)).explanations
    assert [row.counterfactual.found for row in told] == [True, False]


async def test_an_action_against_churn_is_verified_and_one_that_is_out_of_reach_is_told(served):
    world = served.world
    await install(world.registry, world.db, world.north.tenant_id, blended_manifest(wide=False))
    await world.promotions.promote(world.north.context(), "prediction", 2, "churn")
    predict = pb.PredictRequest(task=pb.PREDICTION_TASK_CHURN, customers=["external:c1"])
    (now,) = sent(pb.PredictResponse, await served.analytics.Predict(predict, served.north)).predictions
    reached = counterfactual(churn_below_ratio=now.value - 1e-4)
    one = (await served.analytics.Explain(reached, served.professional)).explanations[0].counterfactual
    assert one.found
    assert one.churn_before == pytest.approx(now.value, rel=1e-9)
    assert one.churn_after < now.value - 1e-4
    assert 1 <= one.purchase_days <= 3
    far = counterfactual(churn_below_ratio=1e-6)
    none = (await served.analytics.Explain(far, served.professional)).explanations[0].counterfactual
    assert (none.found, none.tried, none.HasField("churn_after")) == (False, 12, False)


async def test_a_goal_that_is_none_is_named(served):
    for goal, field in (
        ({"segment": "s9"}, "goal.segment"),
        ({"churn_below_ratio": 0.0}, "goal.churn_below"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await served.analytics.Explain(counterfactual(**goal), served.professional)
        assert refused.value.violations[0].field.startswith(field)
    vector = pb.ExplainRequest(
        task=pb.PREDICTION_TASK_SPEND,
        vectors=[pb.FeatureVector(values=[0.0] * len(SCHEMA.columns))],
        method=pb.EXPLANATION_METHOD_COUNTERFACTUAL,
    )
    with pytest.raises(InvalidArgument, match="history"):
        await served.analytics.Explain(vector, served.professional)
