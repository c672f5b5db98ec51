"""Reflection tells of our services and what they import, and of nothing else."""

import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2

from cohortlens.internal.v1 import inference_pb2
from gateway import composition
from gateway.interceptors.chain import Call
from gateway.servicers.reflection import SERVICES, ReflectionServicer

Request = reflection_pb2.ServerReflectionRequest
TABLE = composition.public_table(with_reflection=True)


async def ask(service, **question):
    """The answer to one question, read back as v1alpha, whose wire form v1 shares."""
    method = TABLE.get(f"/{service}/ServerReflectionInfo")
    call = Call("grpc", method, {})

    async def requests():
        yield method.input_class.FromString(Request(host="me", **question).SerializeToString())

    (answer,) = [one async for one in ReflectionServicer(TABLE).ServerReflectionInfo(requests(), call)]
    assert type(answer) is method.output_class
    assert answer.original_request.host == "me"
    return reflection_pb2.ServerReflectionResponse.FromString(answer.SerializeToString())


def files(answer):
    protos = answer.file_descriptor_response.file_descriptor_proto
    return [descriptor_pb2.FileDescriptorProto.FromString(one).name for one in protos]


@pytest.mark.parametrize("service", SERVICES)
async def test_every_service_is_listed(service):
    answer = await ask(service, list_services="")
    names = [one.name for one in answer.list_services_response.service]
    assert names == sorted(names)
    assert {"cohortlens.v1.AnalyticsService", "grpc.health.v1.Health", *SERVICES} <= set(names)


@pytest.mark.parametrize(
    "symbol",
    [
        "cohortlens.v1.AnalyticsService",
        "cohortlens.v1.AnalyticsService.Predict",
        ".cohortlens.v1.PredictRequest",
        "cohortlens.v1.PredictRequest.horizon_days",
        "cohortlens.v1.PredictionTask",
    ],
)
async def test_a_symbol_gives_its_file_first_and_then_all_it_imports(symbol):
    found = files(await ask(SERVICES[0], file_containing_symbol=symbol))
    assert found[0] == "cohortlens/v1/analytics.proto"
    assert {"cohortlens/v1/common.proto", "google/api/annotations.proto"} <= set(found)
    assert len(found) == len(set(found))


async def test_the_details_of_failures_are_found_although_no_method_names_them():
    found = files(await ask(SERVICES[0], file_containing_symbol="google.rpc.ErrorInfo"))
    assert found[0] == "google/rpc/error_details.proto"


async def test_a_file_is_found_by_name():
    assert files(await ask(SERVICES[1], file_by_filename="cohortlens/v1/auth.proto"))[0].endswith(
        "auth.proto"
    )


async def test_extensions_are_found_by_number():
    wanted = reflection_pb2.ExtensionRequest(
        containing_type="google.protobuf.MethodOptions", extension_number=50501
    )
    assert files(await ask(SERVICES[0], file_containing_extension=wanted))[0] == "cohortlens/v1/common.proto"
    numbers = await ask(SERVICES[0], all_extension_numbers_of_type="google.protobuf.MethodOptions")
    assert 50501 in numbers.all_extension_numbers_response.extension_number


@pytest.mark.parametrize(
    "question",
    [
        {"file_containing_symbol": "cohortlens.internal.v1.InferenceService"},
        {"file_by_filename": inference_pb2.DESCRIPTOR.name},
        {"file_containing_symbol": "no.such.Thing"},
        {"file_by_filename": "no/such/file.proto"},
        {"all_extension_numbers_of_type": "no.such.Thing"},
        {"file_containing_extension": reflection_pb2.ExtensionRequest(containing_type="x")},
    ],
)
async def test_what_is_not_served_is_not_found(question):
    assert (await ask(SERVICES[0], **question)).error_response.error_code == 5


async def test_a_question_that_asks_nothing_is_invalid():
    assert (await ask(SERVICES[0])).error_response.error_code == 3


async def test_reflection_can_be_left_out():
    assert not any(
        "reflection" in name for name in composition.public_table(with_reflection=False).services()
    )
