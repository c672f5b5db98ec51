"""The Open Inference Protocol through both gRPC doors and the HTTP door, over sockets, by generated stubs."""

from __future__ import annotations

import asyncio
import json

import grpc
import httpx
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2

from cohortlens.oip import extensions_pb2
from cohortlens.oip import inference_pb2 as pb
from cohortlens.oip.inference_pb2_grpc import GRPCInferenceServiceStub
from gateway.grpc.server import Router, asgi_server, listen
from gateway.http.oip import OipDoor
from gateway.servicers.inference_v2_policy import UNSUPPORTED
from tests.fakes.inference import scores_of
from tests.fakes.oip import oip_world, rows_of
from tests.integration.gateway.test_grpc_door import serve
from tests.unit.gateway.servicers.test_inference_v2_tensors import request_of

BOUND_S = 20
TOKEN = (("authorization", "Bearer north"),)


@pytest.fixture
def world():
    return oip_world()


@pytest.fixture(params=["asgi", "aio"])
async def stub(request, world):
    async with serve(request.param, world.chain) as port:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        yield GRPCInferenceServiceStub(channel)
        await channel.close()


def infer(rows, *outputs, **form):
    request = request_of(rows, **form)
    request.model_name = "prediction"
    for name in outputs:
        request.outputs.add(name=name)
    return request


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    details = next(
        value for key, value in caught.value.trailing_metadata() if key == "grpc-status-details-bin"
    )
    info = error_details_pb2.ErrorInfo()
    status_pb2.Status.FromString(details).details[0].Unpack(info)
    return caught.value.code(), info.reason


async def test_every_method_answers_over_grpc(stub):
    options = {"metadata": TOKEN, "timeout": BOUND_S}
    assert (await stub.ServerLive(pb.ServerLiveRequest(), timeout=BOUND_S)).live
    assert (await stub.ServerReady(pb.ServerReadyRequest(), timeout=BOUND_S)).ready
    assert (await stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=BOUND_S)).name == "cohortlens"
    assert (await stub.ModelReady(pb.ModelReadyRequest(name="prediction"), **options)).ready
    found = await stub.ModelMetadata(pb.ModelMetadataRequest(name="segmentation"), **options)
    assert [one.name for one in found.outputs] == ["segment_id", "distance"]
    config = (await stub.ModelConfig(pb.ModelConfigRequest(name="prediction"), **options)).config
    assert config.name == "prediction"
    assert len((await stub.RepositoryIndex(pb.RepositoryIndexRequest(), **options)).models) == 2
    rows = rows_of(2, horizon=30)
    for raw in (True, False):
        reply = await stub.ModelInfer(infer(rows, "spend", raw=raw), **options)
        values = (
            np.frombuffer(reply.raw_output_contents[0], "<f8")
            if raw
            else reply.outputs[0].contents.fp64_contents
        )
        np.testing.assert_array_equal(values, scores_of("spend", rows)["value"])
    (counted,) = (await stub.ModelStatistics(pb.ModelStatisticsRequest(), **options)).model_stats
    assert (counted.inference_count, counted.execution_count) == (4, 2)


async def test_faults_carry_code_and_reason_over_grpc(stub):
    request = infer(rows_of(1))
    assert await refused(stub.ModelInfer(request, timeout=BOUND_S)) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "TOKEN_INVALID",
    )
    request.inputs[0].shape[0] = 2
    assert await refused(stub.ModelInfer(request, metadata=TOKEN, timeout=BOUND_S)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "TENSOR_INVALID",
    )
    for name in UNSUPPORTED:
        message = getattr(extensions_pb2, f"{name}Request")
        call = getattr(stub, name)(message(), metadata=TOKEN, timeout=BOUND_S)
        assert await refused(call) == (grpc.StatusCode.UNIMPLEMENTED, "OIP_EXTENSION_UNSUPPORTED")


async def test_a_stream_answers_each_request_while_it_stays_open(stub, world):
    call = stub.ModelStreamInfer(metadata=TOKEN, timeout=BOUND_S)
    await call.write(infer(rows_of(1), "spend"))
    first = await call.read()
    assert first.infer_response.outputs[0].name == "spend"
    await call.write(pb.ModelInferRequest(model_name="sequence", id="x"))
    fault = await call.read()
    assert (fault.infer_response.id, fault.error_message[:18]) == ("x", "RESOURCE_NOT_FOUND")
    await call.write(infer(rows_of(1), "spend"))
    assert (await call.read()).infer_response.raw_output_contents == first.infer_response.raw_output_contents
    await call.done_writing()
    assert await call.read() == grpc.aio.EOF
    assert await call.code() == grpc.StatusCode.OK


async def test_json_and_bytes_over_http(world):
    router, rows = Router(), rows_of(1000, horizon=90)
    router.http = OipDoor(world.chain)
    document = {"name": "features", "datatype": "FP32", "shape": list(rows.shape)}
    asked = {"outputs": [{"name": "spend", "parameters": {"binary_data": True}}]}
    text = json.dumps(
        {"inputs": [document | {"parameters": {"binary_data_size": rows.nbytes}}], **asked}
    ).encode()
    with listen("127.0.0.1", 0, "COHORTLENS_HTTP_PORT") as one:
        server = asgi_server(router, [one], 1)
        serving = asyncio.create_task(server.serve())
        await server.wait_started()
        url = f"http://127.0.0.1:{one.getsockname()[1]}/v2/models/prediction/infer"
        async with httpx.AsyncClient(trust_env=False, timeout=BOUND_S, headers=dict(TOKEN)) as client:
            length = {"inference-header-content-length": str(len(text))}
            binary = await client.post(url, content=text + rows.tobytes(), headers=length)
            plain = await client.post(
                url, content=json.dumps({"inputs": [document | {"data": rows.tolist()}]})
            )
            broken = await client.post(url, content=text)
        server.shutdown()
        await serving
    expected = scores_of("spend", rows)["value"]
    start = int(binary.headers["inference-header-content-length"])
    np.testing.assert_array_equal(np.frombuffer(binary.content[start:], "<f8"), expected)
    found = {one["name"]: one["data"] for one in plain.json()["outputs"]}
    np.testing.assert_array_equal(found["spend"], expected)
    assert (broken.status_code, list(broken.json())) == (400, ["error"])
