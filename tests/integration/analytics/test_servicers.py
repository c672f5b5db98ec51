"""The servicers of analytics and models: messages in, messages out, on real tables."""

from __future__ import annotations

import math
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest

from cohortlens.analytics.retraining import Retraining
from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.billing.entitlements.catalogue import Catalogue
from cohortlens.core.errors import InvalidArgument, NotFound
from cohortlens.core.paging import PageTokens
from cohortlens.v1 import analytics_pb2 as pb
from cohortlens.v1 import models_pb2
from gateway.servicers.analytics import AnalyticsServicer
from gateway.servicers.explanations import ExplanationsServicer
from gateway.servicers.joined import joined
from gateway.servicers.models import ModelsServicer
from tests.fakes.models import install, prediction_manifest
from tests.fixtures.waiting import eventually


@pytest.fixture
async def served(world):
    entitlements = Entitlements(world.db)
    world.retraining = Retraining(
        world.db, world.features, world.registry, world.training, entitlements, Catalogue(world.db)
    )
    services = SimpleNamespace(
        analytics=world,
        features=world.features,
        customers=world.features._customers,
        registry=world.registry,
        challengers=world.challengers,
        promotions=world.promotions,
        page_tokens=PageTokens(b"k" * 32),
        config=SimpleNamespace(explain_method="lime"),
        billing=SimpleNamespace(catalogue=None),
    )

    def call(tenant):
        plan = SimpleNamespace(features=frozenset({"explain.shap"}), rank=1)
        return SimpleNamespace(context=tenant.context(), entitlement=plan)

    yield SimpleNamespace(
        analytics=joined(AnalyticsServicer(services), ExplanationsServicer(services)),
        models=ModelsServicer(services),
        north=call(world.north),
        south=call(world.south),
        world=world,
    )
    await entitlements.close()


def sent(kind, reply):
    """A reply as the caller reads it."""
    return kind.FromString(reply.SerializeToString())


async def test_a_prediction_is_told_stored_and_read_back(served):
    request = pb.PredictRequest(task=pb.PREDICTION_TASK_SPEND, customers=["external:c6"], horizon_days=30)
    (told,) = sent(pb.PredictResponse, await served.analytics.Predict(request, served.north)).predictions
    assert (told.external_id, told.unit, told.horizon_days, told.model_version) == ("c6", "USD", 30, 1)
    assert (told.level_ratio, told.data_as_of) == (0.8, "2024-05-10")
    read = await served.analytics.GetPrediction(
        pb.GetPredictionRequest(prediction=told.prediction), served.north
    )
    assert read.prediction == told
    vector = pb.PredictRequest(
        task=pb.PREDICTION_TASK_SPEND, vectors=[read.features], schema_hash=read.schema_hash, horizon_days=30
    )
    (again,) = sent(pb.PredictResponse, await served.analytics.Predict(vector, served.north)).predictions
    assert again.value == pytest.approx(told.value, rel=1e-12)
    assert again.snapshot_id == told.snapshot_id
    assert (again.prediction, again.customer, again.data_as_of) == ("", "", "")


async def test_features_fed_back_as_a_vector_give_the_customer_s_own_prediction(served):
    features = await served.analytics.GetFeatures(pb.GetFeaturesRequest(customer="external:c3"), served.north)
    by_vector = pb.PredictRequest(task=pb.PREDICTION_TASK_PURCHASES, vectors=[features.features])
    by_id = pb.PredictRequest(task=pb.PREDICTION_TASK_PURCHASES, customers=[features.customer])
    (one,) = sent(pb.PredictResponse, await served.analytics.Predict(by_vector, served.north)).predictions
    (two,) = sent(pb.PredictResponse, await served.analytics.Predict(by_id, served.north)).predictions
    assert one.value == two.value
    schema = await served.analytics.GetFeatureSchema(pb.GetFeatureSchemaRequest(), served.north)
    assert len(schema.columns) == len(features.features.values)
    assert schema.schema_hash == features.schema_hash
    assert len(features.sequence.values) == len(schema.sequence_columns) == 160
    assert features.sequence_hash == schema.sequence_hash != schema.schema_hash
    newest = [column.name for column in schema.sequence_columns[-4:]]
    assert newest == ["w0_days", "w0_money", "w0_observed", "w0_age"]
    assert features.sequence.values[-2] == 1.0


async def test_an_unknown_task_or_method_is_named(served):
    with pytest.raises(InvalidArgument) as task:
        await served.analytics.Predict(pb.PredictRequest(customers=["external:c1"]), served.north)
    assert task.value.violations[0].field == "task"
    request = pb.ExplainRequest(task=pb.PREDICTION_TASK_SPEND, customers=["external:c1"], method=9)
    with pytest.raises(InvalidArgument) as method:
        await served.analytics.Explain(request, served.north)
    assert method.value.reason == "METHOD_UNSUPPORTED"


async def test_an_explanation_multiplies_up_to_the_value(served):
    request = pb.ExplainRequest(task=pb.PREDICTION_TASK_SPEND, customers=["external:c6"], top=4)
    (told,) = sent(pb.ExplainResponse, await served.analytics.Explain(request, served.north)).explanations
    assert len(told.attributions) == 4
    assert told.space == pb.EXPLANATION_SPACE_LOG
    total = told.base_value + told.other_contribution + told.additivity_residual + told.surrogate_residual
    assert total + sum(one.contribution for one in told.attributions) == pytest.approx(math.log(told.value))
    for one in told.attributions:
        assert one.factor == pytest.approx(math.exp(one.contribution))


async def test_lists_of_predictions_page_without_gaps_and_tokens_stay_with_their_list(served):
    names = [f"external:c{index}" for index in range(7)]
    request = pb.PredictRequest(task=pb.PREDICTION_TASK_SPEND, customers=names)
    told = sent(pb.PredictResponse, await served.analytics.Predict(request, served.north)).predictions
    seen, token = [], ""
    while True:
        page = await served.analytics.ListPredictions(
            pb.ListPredictionsRequest(page_size=3, page_token=token), served.north
        )
        seen += [one.prediction for one in page.predictions]
        token = page.next_page_token or token
        if not page.next_page_token:
            break
    assert sorted(seen) == sorted(one.prediction for one in told)
    for other in (
        (pb.ListPredictionsRequest(page_size=3, page_token=token, customer="external:c1"), served.north),
        (pb.ListPredictionsRequest(page_size=3, page_token=token), served.south),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await served.analytics.ListPredictions(*other)
        assert refused.value.reason == "PAGE_TOKEN_INVALID"


async def test_members_are_paged_from_the_run_they_began_with(served):
    world = served.world

    async def run_all():
        started = await served.analytics.StartSegmentation(pb.StartSegmentationRequest(), served.north)
        await world.segmentation.run(world.north.tenant_id, UUID(started.run.run))
        return started.run.run

    await run_all()
    first_page = await served.analytics.ListSegmentMembers(
        pb.ListSegmentMembersRequest(segment="s1", page_size=10), served.north
    )
    newer = await run_all()
    seen = {one.external_id for one in first_page.members}
    token = first_page.next_page_token
    while token:
        page = await served.analytics.ListSegmentMembers(
            pb.ListSegmentMembersRequest(segment="s1", page_size=10, page_token=token), served.north
        )
        assert seen.isdisjoint(one.external_id for one in page.members)
        seen |= {one.external_id for one in page.members}
        token = page.next_page_token
    assert seen == {f"c{index}" for index in range(40) if index % 5 < 3}
    listed = await served.analytics.ListSegments(pb.ListSegmentsRequest(), served.north)
    assert sum(one.customers for one in listed.segments) == 40
    assert (listed.run.run, listed.run.published) == (newer, True)
    assert {one.currency for one in listed.segments} == {"USD"}


async def test_model_versions_tell_what_serves_and_promotion_moves_it(served):
    world = served.world
    await install(world.registry, world.db, world.north.tenant_id, prediction_manifest(loss=0.9, seed=1))
    listed = await served.models.ListModelVersions(
        models_pb2.ListModelVersionsRequest(model="prediction", page_size=1), served.north
    )
    assert [(one.version, one.active) for one in listed.versions] == [(2, False)]
    rest = await served.models.ListModelVersions(
        models_pb2.ListModelVersionsRequest(
            model="prediction", page_size=1, page_token=listed.next_page_token
        ),
        served.north,
    )
    assert [(one.version, one.active) for one in rest.versions] == [(1, True)]
    promoted = await served.models.PromoteModel(
        models_pb2.PromoteModelRequest(model="prediction", version=2), served.north
    )
    assert (promoted.version.version, promoted.version.active) == (2, True)
    assert list(promoted.version.horizons_days) == [30, 90]
    back = await served.models.RollbackModel(
        models_pb2.RollbackModelRequest(model="prediction"), served.north
    )
    assert back.version.version == 1
    assert back.version.active_since.seconds > 0
    present = await served.models.GetModelVersion(
        models_pb2.GetModelVersionRequest(model="prediction"), served.north
    )
    assert present.version == back.version


async def test_trainings_are_started_listed_and_read(served):
    started = await served.models.StartTraining(models_pb2.StartTrainingRequest(), served.north)
    assert [one.model for one in started.runs] == ["segmentation", "prediction"]
    listed = await served.models.ListTrainingRuns(
        models_pb2.ListTrainingRunsRequest(page_size=1), served.north
    )
    assert len(listed.runs) == 1
    assert listed.next_page_token
    one = await served.models.GetTrainingRun(
        models_pb2.GetTrainingRunRequest(run=started.runs[0].run), served.north
    )
    assert one.run == started.runs[0]


async def test_every_identifier_of_another_tenant_answers_like_one_that_nobody_has(served):
    world = served.world
    request = pb.PredictRequest(task=pb.PREDICTION_TASK_SPEND, customers=["external:c1"])
    (told,) = sent(pb.PredictResponse, await served.analytics.Predict(request, served.north)).predictions
    run = (await served.analytics.StartSegmentation(pb.StartSegmentationRequest(), served.north)).run.run
    await world.segmentation.run(world.north.tenant_id, UUID(run))
    training = (
        (await served.models.StartTraining(models_pb2.StartTrainingRequest(model="prediction"), served.north))
        .runs[0]
        .run
    )
    analytics, models = served.analytics, served.models
    asked = [
        (analytics.GetPrediction, lambda name: pb.GetPredictionRequest(prediction=name), told.prediction),
        (analytics.ListPredictions, lambda name: pb.ListPredictionsRequest(customer=name), told.customer),
        (analytics.GetFeatures, lambda name: pb.GetFeaturesRequest(customer=name), told.customer),
        (analytics.GetSegmentationRun, lambda name: pb.GetSegmentationRunRequest(run=name), run),
        (analytics.ListSegments, lambda name: pb.ListSegmentsRequest(run=name), run),
        (
            analytics.ListSegmentMembers,
            lambda name: pb.ListSegmentMembersRequest(segment="s1", run=name),
            run,
        ),
        (models.GetTrainingRun, lambda name: models_pb2.GetTrainingRunRequest(run=name), training),
    ]
    for method, make, identifier in asked:
        answers = []
        # The last one names a time after the year 9999.
        for name in (identifier, str(uuid4()), "ffffffff-ffff-4fff-bfff-ffffffffffff"):
            with pytest.raises(NotFound) as refused:
                await method(make(name), served.south)
            fault = refused.value
            answers.append((fault.reason, fault.message, fault.metadata, fault.violations))
        assert answers[0] == answers[1] == answers[2], method.__name__


async def test_a_challenger_is_set_told_and_cleared_and_stays_with_its_tenant(served):
    world, model = served.world, "prediction"
    await install(world.registry, world.db, world.north.tenant_id, prediction_manifest(loss=0.9, seed=1))
    asked = models_pb2.GetChallengerRequest(model=model)
    request = models_pb2.SetChallengerRequest(model=model, version=2, share_ratio=1.0, reason="newer")
    told = (await served.models.SetChallenger(request, served.north)).challenger
    assert (told.model, told.version, told.share_ratio) == (model, 2, 1.0)
    predict = pb.PredictRequest(task=pb.PREDICTION_TASK_SPEND, customers=["external:c6"], horizon_days=30)
    await served.analytics.Predict(predict, served.north)

    async def compared():
        return (await served.models.GetChallenger(asked, served.north)).comparisons

    (line,) = await eventually(compared)
    assert (line.champion_version, line.task, line.horizon_days) == (1, pb.PREDICTION_TASK_SPEND, 30)
    assert (line.rows, line.mean_difference, line.HasField("correlation")) == (1, 0.0, False)
    assert line.timed_calls == 1
    for method in (served.models.GetChallenger, served.models.ClearChallenger):
        with pytest.raises(NotFound):
            await method(asked, served.south)
    assert (await served.models.GetChallenger(asked, served.north)).challenger == told
    cleared = await served.models.ClearChallenger(
        models_pb2.ClearChallengerRequest(model=model), served.north
    )
    assert cleared == models_pb2.ClearChallengerResponse()
    with pytest.raises(NotFound):
        await served.models.GetChallenger(asked, served.north)
