"""The Open Inference Protocol behind the chain: who may call what, which model answers, what is counted."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from cohortlens.contracts.features import SCHEMA
from cohortlens.core.errors import Code, Internal, Unavailable
from cohortlens.oip import inference_pb2 as pb
from gateway.interceptors.chain import Call, CallFailed
from gateway.servicers.inference_v2_policy import POLICIES, SERVICE, UNSUPPORTED
from tests.fakes.inference import scores_of
from tests.fakes.oip import COLUMNS, oip_world, rows_of
from tests.unit.gateway.servicers.test_inference_v2_tensors import request_of

HORIZON = SCHEMA.index("horizon")


@pytest.fixture
def world():
    return oip_world()


def _call(world, name, token):
    method = world.chain.table.get(f"/{SERVICE}/{name}")
    metadata = {"authorization": [f"Bearer {token}"]} if token else {}
    return method, Call("grpc", method, metadata)


async def ask(world, name, request=None, token="north"):
    method, call = _call(world, name, token)
    return await world.chain.unary(call, (request or method.input_class()).SerializeToString())


async def refused(world, name, request=None, token="north"):
    with pytest.raises(CallFailed) as caught:
        await ask(world, name, request, token)
    return caught.value.error


def infer(model, matrix=None, *outputs, version="", **form):
    request = request_of(rows_of(3) if matrix is None else matrix, **form)
    request.model_name, request.model_version, request.id = model, version, "r-1"
    for name in outputs:
        request.outputs.add(name=name)
    return request


def arrays_of(reply):
    types = {"FP64": "<f8", "INT64": "<i8"}
    return {
        one.name: np.frombuffer(raw, types[one.datatype]).reshape(one.shape)
        for one, raw in zip(reply.outputs, reply.raw_output_contents, strict=True)
    }


async def test_server_health_and_metadata_need_no_token(world):
    assert (await ask(world, "ServerLive", token="")).live
    assert (await ask(world, "ServerReady", token="")).ready
    found = await ask(world, "ServerMetadata", token="")
    assert found.name == "cohortlens"
    assert "binary_tensor_data" in found.extensions
    world.board.block("draining")
    assert not (await ask(world, "ServerReady", token="")).ready
    assert (await ask(world, "ServerLive", token="")).live


@pytest.mark.parametrize("name", [name for name, policy in POLICIES.items() if not policy.public])
async def test_every_other_method_needs_a_token_with_a_scope(world, name):
    method, call = _call(world, name, "")
    if method.client_streaming:
        for token, code in (("", Code.UNAUTHENTICATED), ("blind", Code.PERMISSION_DENIED)):
            _, call = _call(world, name, token)
            with pytest.raises(CallFailed) as caught:
                await world.chain.bidi_stream(call, _stream([]), None)
            assert caught.value.error.code is code
        return
    assert (await refused(world, name, token="")).code is Code.UNAUTHENTICATED
    assert (await refused(world, name, token="blind")).reason == "SCOPE_MISSING"


@pytest.mark.parametrize("name", UNSUPPORTED)
async def test_an_extension_that_is_not_offered_says_so(world, name):
    error = await refused(world, name)
    assert (error.code, error.reason) == (Code.UNIMPLEMENTED, "OIP_EXTENSION_UNSUPPORTED")
    assert name in error.message


async def test_predictions_are_those_of_the_model_in_the_form_of_the_request(world):
    rows = rows_of(3, horizon=90)
    raw = await ask(world, "ModelInfer", infer("prediction", rows))
    assert (raw.model_name, raw.model_version, raw.id) == ("prediction", "1", "r-1")
    found = arrays_of(raw)
    for target in ("purchases", "spend"):
        for suffix, column in (("", "value"), ("_lower", "lower"), ("_upper", "upper")):
            expected = scores_of(target, rows)[column]
            np.testing.assert_array_equal(found[target + suffix][:, 0], expected)
    typed = await ask(world, "ModelInfer", infer("prediction", rows, "spend", raw=False))
    assert not typed.raw_output_contents
    np.testing.assert_array_equal(typed.outputs[0].contents.fp64_contents, found["spend"][:, 0])


async def test_a_target_that_nobody_asked_for_is_not_scored(world):
    await ask(world, "ModelInfer", infer("prediction", None, "spend_upper", "spend"))
    assert [sent.target for sent in world.client.sent] == ["spend"]


async def test_segments_are_integers_with_their_distance(world):
    found = arrays_of(await ask(world, "ModelInfer", infer("segmentation")))
    assert found["segment_id"][:, 0].tolist() == [0, 1, 1]
    assert found["distance"][:, 0].tolist() == [3.0, 0.0, 3.0]


async def test_each_row_has_the_horizon_of_its_last_column_and_0_is_the_longest(world):
    rows = rows_of(4)
    rows[:, HORIZON] = [30, 90, 0, 30]
    found = arrays_of(await ask(world, "ModelInfer", infer("prediction", rows, "spend")))
    meant = rows.copy()
    meant[2, HORIZON] = 90
    np.testing.assert_array_equal(found["spend"][:, 0], scores_of("spend", meant)["value"])


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("horizon", 31, "HORIZON_UNSUPPORTED"),
        ("horizon", 30.5, "TENSOR_INVALID"),
        ("horizon", np.nan, "VALUE_NOT_FINITE"),
        ("age", np.nan, "VALUE_NOT_FINITE"),
        ("age", np.inf, "VALUE_NOT_FINITE"),
        ("age", -1, "FEATURE_OUT_OF_RANGE"),
    ],
)
@pytest.mark.parametrize("raw", [True, False])
async def test_a_value_that_the_schema_forbids_is_refused(world, column, value, reason, raw):
    rows = rows_of(3)
    rows[1, SCHEMA.index(column)] = value
    error = await refused(world, "ModelInfer", infer("prediction", rows, raw=raw))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, reason)
    assert column in error.message
    assert world.client.sent == []


async def test_a_value_that_may_be_unknown_is_scored(world):
    rows = rows_of(1)
    assert np.isnan(rows).any()
    for raw in (True, False):
        await ask(world, "ModelInfer", infer("prediction", rows, raw=raw))


async def test_a_named_version_answers_and_one_that_failed_its_gate_does_not(world):
    reply = await ask(world, "ModelInfer", infer("prediction", version="2"))
    assert reply.model_version == "2"
    assert (
        await refused(world, "ModelInfer", infer("prediction", version="3"))
    ).reason == "VERSION_NOT_READY"


@pytest.mark.parametrize(
    ("model", "version"),
    [("sequence", ""), ("", ""), ("prediction", "9"), ("prediction", "latest"), ("prediction", "0")],
)
@pytest.mark.parametrize(
    "name", ["ModelInfer", "ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"]
)
async def test_an_unknown_model_or_version_is_not_found(world, name, model, version):
    if name == "ModelStatistics" and not model:
        return  # an empty name stands for all models there
    request = pb.ModelInferRequest(model_name=model, model_version=version)
    if name != "ModelInfer":
        request = world.chain.table.get(f"/{SERVICE}/{name}").input_class(name=model, version=version)
    else:
        request = infer(model, version=version)
    assert (await refused(world, name, request)).code is Code.NOT_FOUND


async def test_another_tenant_has_models_of_its_own(world):
    assert (await refused(world, "ModelInfer", infer("prediction"), "south")).reason == "NO_ACTIVE_MODEL"
    assert (
        await refused(world, "ModelInfer", infer("prediction", version="1"), "south")
    ).code is Code.NOT_FOUND
    assert not (await ask(world, "ModelReady", pb.ModelReadyRequest(name="prediction"), "south")).ready
    assert not (await ask(world, "RepositoryIndex", token="south")).models


async def test_a_model_is_ready_while_a_replica_lives_and_its_version_may_serve(world):
    request = pb.ModelReadyRequest(name="prediction")
    assert (await ask(world, "ModelReady", request)).ready
    assert not (await ask(world, "ModelReady", pb.ModelReadyRequest(name="prediction", version="3"))).ready
    world.client.replicas["prediction"] = 0
    assert not (await ask(world, "ModelReady", request)).ready


async def test_metadata_and_configuration_tell_shapes_columns_and_the_hash_of_the_schema(world):
    found = await ask(world, "ModelMetadata", pb.ModelMetadataRequest(name="prediction"))
    assert list(found.versions) == ["1"]
    assert [(one.name, one.datatype, list(one.shape)) for one in found.inputs] == [
        ("features", "FP32", [-1, COLUMNS])
    ]
    assert [one.name for one in found.outputs][:3] == ["purchases", "purchases_lower", "purchases_upper"]
    assert found.parameters["schema_hash"].string_param == SCHEMA.hash
    assert found.parameters["columns"].string_param.split(",") == list(SCHEMA.names)
    config = (await ask(world, "ModelConfig", pb.ModelConfigRequest(name="segmentation"))).config
    assert (config.max_batch_size, list(config.input[0].dims)) == (4096, [COLUMNS])
    assert [(one.name, list(one.dims)) for one in config.output] == [("segment_id", [1]), ("distance", [1])]
    assert config.parameters["segments"].string_value == "s1,s2"


async def test_the_index_shows_active_versions_and_whether_they_can_be_called(world):
    world.client.replicas["segmentation"] = 0
    found = (await ask(world, "RepositoryIndex")).models
    assert {(one.name, one.version, one.state) for one in found} == {
        ("prediction", "1", "READY"),
        ("segmentation", "4", "UNAVAILABLE"),
    }
    ready = (await ask(world, "RepositoryIndex", pb.RepositoryIndexRequest(ready=True))).models
    assert [one.name for one in ready] == ["prediction"]
    error = await refused(world, "RepositoryIndex", pb.RepositoryIndexRequest(repository_name="other"))
    assert error.code is Code.NOT_FOUND


async def test_what_was_scored_is_counted_by_version_and_only_for_its_tenant(world):
    for count in (3, 3, 5):
        await ask(world, "ModelInfer", infer("prediction", rows_of(count)))
    world.client.faults = [Unavailable("no worker", reason="WORKERS_UNAVAILABLE")] * 2
    await refused(world, "ModelInfer", infer("prediction"))
    await refused(world, "ModelInfer", infer("prediction", rows_of(1)[:, 1:]))
    await ask(world, "ModelInfer", infer("prediction", version="2"))
    (one, two) = (
        await ask(world, "ModelStatistics", pb.ModelStatisticsRequest(name="prediction"))
    ).model_stats
    assert (one.version, one.inference_count, one.execution_count) == ("1", 11, 3)
    assert (one.inference_stats.success.count, one.inference_stats.fail.count) == (3, 2)
    assert one.inference_stats.success.ns >= one.inference_stats.compute_infer.ns > 0
    assert [(size.batch_size, size.compute_infer.count) for size in one.batch_stats] == [(3, 2), (5, 1)]
    assert (two.version, two.inference_count) == ("2", 3)
    assert one.last_inference > 1_700_000_000_000
    other = pb.ModelStatisticsRequest(name="segmentation", version="4")
    (idle,) = (await ask(world, "ModelStatistics", other)).model_stats
    assert (idle.inference_count, idle.inference_stats.success.count) == (0, 0)
    assert not (await ask(world, "ModelStatistics", token="south")).model_stats


async def test_sizes_of_requests_are_kept_for_the_last_32(world):
    for count in range(1, 40):
        await ask(world, "ModelInfer", infer("segmentation", rows_of(count)))
    (found,) = (await ask(world, "ModelStatistics")).model_stats
    assert [one.batch_size for one in found.batch_stats] == list(range(8, 40))
    assert found.inference_count == sum(range(1, 40))


async def _stream(requests):
    for one in requests:
        yield one.SerializeToString()


async def converse(world, payloads, token="north"):
    _, call = _call(world, "ModelStreamInfer", token)
    replies = asyncio.Queue()
    await world.chain.bidi_stream(call, payloads, replies.put)
    return [replies.get_nowait() for _ in range(replies.qsize())]


async def test_a_stream_answers_in_order_and_goes_on_after_a_fault(world):
    good, bad = infer("prediction", rows_of(2), "spend"), infer("nothing")
    good.id, bad.id = "a", "b"
    replies = await converse(world, _stream([good, bad, good]))
    assert [one.infer_response.id for one in replies] == ["a", "b", "a"]
    assert [bool(one.error_message) for one in replies] == [False, True, False]
    assert replies[1].error_message.startswith("RESOURCE_NOT_FOUND: model_name")
    assert replies[0].infer_response == replies[2].infer_response


async def test_a_reply_leaves_although_the_sender_goes_silent(world):
    answered = asyncio.Event()

    async def waiting():
        yield infer("prediction").SerializeToString()
        await answered.wait()

    async def send(_):
        answered.set()

    _, call = _call(world, "ModelStreamInfer", "north")
    async with asyncio.timeout(5):
        await world.chain.bidi_stream(call, waiting(), send)


async def test_requests_of_a_stream_are_under_way_together(world):
    world.client.gate = asyncio.Event()
    task = asyncio.create_task(converse(world, _stream([infer("segmentation")] * 5)))
    async with asyncio.timeout(5):
        while world.client.running < 5:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0)
        world.client.gate.set()
        assert len(await task) == 5


async def test_a_fault_of_ours_ends_the_stream_and_leaves_no_work_behind(world):
    world.client.faults = [None, Internal("broken", reason="WORKER_FAULT")]
    replies = await converse(world, _stream([infer("segmentation")] * 3))
    assert [bool(one.error_message) for one in replies] == [False, True, False]
    world.client.gate = asyncio.Event()
    task = asyncio.create_task(converse(world, _stream([infer("segmentation")] * 5)))
    while world.client.running < 5:  # noqa: ASYNC110 - the fake has no event for it
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.client.running == 0


async def test_naming_the_active_version_asks_the_registry_no_further(world, monkeypatch):
    async def never(*_):
        raise AssertionError("the database was asked")

    monkeypatch.setattr(world.registry, "version", never)
    assert (await ask(world, "ModelInfer", infer("prediction", version="1"))).model_version == "1"
