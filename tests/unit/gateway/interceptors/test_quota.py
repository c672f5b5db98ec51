"""What a call takes of the month, what it gives back, and what is noted about it; without a database."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest

from cohortlens.billing.usage.blocks import Lease, Pool
from cohortlens.billing.usage.models import Grant, QuotaExceeded
from cohortlens.core.context import Principal
from cohortlens.core.errors import DeadlineExceeded, Internal, InvalidArgument, Unavailable
from cohortlens.core.ids import SessionId, TenantId
from cohortlens.oip import inference_pb2
from cohortlens.v1 import analytics_pb2
from gateway.interceptors.chain import Call
from gateway.interceptors.quota import QuotaStep, rows_of
from gateway.registry import MethodTable, Policy, RateClass
from gateway.servicers import inference_v2_policy

TENANT = TenantId(UUID("01890a5d-ac96-774b-bcce-b302099a8057"))
PRINCIPAL = Principal(TENANT, TENANT, SessionId(TENANT), "owner", frozenset())
START = datetime(2026, 11, 1, tzinfo=UTC)
ANALYTICS = "/cohortlens.v1.AnalyticsService/"


def table():
    made = MethodTable()
    made.add_public_api([analytics_pb2.DESCRIPTOR])
    inference_v2_policy.add_inference(made)
    return made


class Quota:
    """Gives units until none are left."""

    def __init__(self, left=1000):
        grant = Grant(UUID(int=1), left, 60.0, START, START, left, left, 1, "basic", True)
        self.pool = Pool(TENANT, set())
        self.pool.add(grant, float("inf"), 1)

    @property
    def left(self):
        return self.pool.left

    def try_spend(self, tenant_id, units):
        assert tenant_id == TENANT
        taken = self.pool.take(units, 0.0)
        return taken[0][0] if taken else None

    async def reserve(self, tenant_id, units):
        raise QuotaExceeded("api_calls", 1000, 1000, START, "professional", units)

    def release(self, spent: Lease, units):
        spent.put(units)


class Limiter:
    def __init__(self):
        self.taken = []

    async def take_more(self, call, units):
        self.taken.append(units)

    async def take_units(self, principal, rate_class, units):
        self.taken.append((rate_class, units))


class World:
    def __init__(self, left=1000):
        self.methods, self.quota, self.limiter, self.events = table(), Quota(left), Limiter(), []
        usage = SimpleNamespace(quota=self.quota, events=SimpleNamespace(note=self.events.append))
        self.step = QuotaStep(self.methods, usage, self.limiter)

    def call(self, name="Predict", **attributes):
        full = name if name.startswith("/") else ANALYTICS + name
        call = Call("grpc", self.methods.get(full), {})
        call.principal, call.request_id, call.request = PRINCIPAL, "request-1", analytics_pb2.PredictRequest()
        for key, value in attributes.items():
            setattr(call, key, value)
        return call

    def noted(self):
        return [(one.units, one.calls, one.outcome) for one in self.events]


async def nothing(call):
    return


async def test_a_call_takes_one_unit_and_is_noted_with_method_principal_and_period():
    world = World()
    await world.step(world.call(), nothing)
    assert world.quota.left == 999
    (event,) = world.events
    assert event._replace(at_us=0) == (
        TENANT, "api_calls", START, 0, ANALYTICS + "Predict", f"user:{TENANT}", 1, 1, "OK", "request-1"
    )  # fmt: skip


@pytest.mark.parametrize(("rows", "units"), [(1, 1), (100, 1), (101, 2), (250, 3)])
async def test_each_started_hundred_rows_takes_a_unit_of_quota_and_of_the_rate_limit(rows, units):
    world = World()
    request = analytics_pb2.PredictRequest(customers=["c"] * rows)
    await world.step(world.call(request=request), nothing)
    assert world.quota.left == 1000 - units
    assert world.limiter.taken == ([units] if units > 1 else [])


async def test_a_tensor_that_claims_more_rows_than_it_has_bytes_is_not_believed():
    method = table().get("/inference.GRPCInferenceService/ModelInfer")
    request = inference_pb2.ModelInferRequest()
    request.inputs.add(shape=[250, 20], name="rows").contents.fp64_contents.extend([1.0] * 5000)
    assert rows_of(method)(request) == 250
    request.inputs[0].shape[0] = 2**60
    assert rows_of(method)(request) == request.ByteSize()
    request.inputs[0].shape[0] = -1
    assert rows_of(method)(request) == 1


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (Internal("x"), 0),
        (Unavailable("x"), 0),
        (RuntimeError("x"), 0),
        (InvalidArgument("x"), 1),
        (asyncio.CancelledError(), 1),
    ],
)
async def test_only_faults_of_ours_give_the_unit_back(fault, kept):
    world = World()

    async def fails(call):
        raise fault

    with pytest.raises(type(fault)):
        await world.step(world.call(), fails)
    assert world.quota.left == 1000 - kept
    assert [one.units for one in world.events] == [kept]


async def cut(call):
    raise asyncio.CancelledError


async def late(call):
    raise DeadlineExceeded("the deadline passed before the answer was ready")


@pytest.mark.parametrize("servicer", [cut, late])
@pytest.mark.parametrize(("timeout_s", "kept"), [(None, 0), (1e6, 0), (0.001, 1)])
async def test_a_deadline_gives_the_unit_back_only_when_the_caller_left_the_time_that_is_usual(
    servicer, timeout_s, kept
):
    """Else whoever asks for a millisecond gets the effect of the call for nothing."""
    world = World()
    call = world.call(deadline=time.monotonic() - 1, timeout_s=timeout_s)
    with pytest.raises((asyncio.CancelledError, DeadlineExceeded)):
        await world.step(call, servicer)
    assert world.quota.left == 1000 - kept
    assert [one.units for one in world.events] == [kept]


@pytest.mark.parametrize("fault", [asyncio.CancelledError(), DeadlineExceeded("the body did not arrive")])
async def test_a_stream_that_its_caller_lets_lapse_keeps_every_unit(fault):
    """The answers to what was sent are out, and how long a stream is open is the caller's choice."""
    world = World()
    call = world.call(
        "/inference.GRPCInferenceService/ModelStreamInfer", payloads=stream([]), requests=stream(chunks(60))
    )
    call.deadline = time.monotonic() - 1

    async def answers_until_the_deadline(call):
        raise fault

    with pytest.raises(type(fault)):
        await world.step(call, answers_until_the_deadline)
    assert world.quota.left == 999
    assert [one.units for one in world.events] == [1]


async def test_without_units_the_servicer_is_not_reached_and_nothing_is_noted():
    world, reached = World(left=1), []

    async def servicer(call):
        reached.append(call)

    await world.step(world.call(), servicer)
    with pytest.raises(QuotaExceeded) as refused:
        await world.step(world.call(), servicer)
    assert len(reached) == len(world.events) == 1
    assert refused.value.metadata["upgrade_to"] == "professional"
    assert refused.value.retry_delay_s is None


async def stream(messages):
    for message in messages:
        yield message


async def passed(world, messages, fault=None):
    call = world.call("ScoreTensor", payloads=stream([]), requests=stream(messages))
    seen = []
    note = seen.append

    async def servicer(call):
        async for message in call.requests:
            note(message)
        if fault is not None:
            raise fault

    try:
        await world.step(call, servicer)
    except Exception as error:
        return seen, error
    return seen, None


def chunks(*rows):
    pb = analytics_pb2
    header = pb.ScoreTensorRequest(header=pb.TensorHeader())
    return [header, *(pb.ScoreTensorRequest(chunk=pb.TensorChunk(rows=count)) for count in rows)]


async def test_a_stream_takes_a_unit_at_its_start_and_one_for_each_further_hundred_as_it_passes():
    world = World()
    await passed(world, chunks())
    assert world.quota.left == 999
    await passed(world, chunks(60, 40))
    assert world.quota.left == 998
    await passed(world, chunks(60, 60, 300))
    assert world.quota.left == 993
    assert world.noted() == [(1, 1, "OK"), (1, 1, "OK"), (5, 1, "OK")]


async def test_a_stream_ends_where_the_quota_ends_and_keeps_what_it_used():
    world = World(left=2)
    seen, error = await passed(world, chunks(100, 100, 100))
    assert isinstance(error, QuotaExceeded)
    assert len(seen) == 3
    assert world.noted() == [(2, 1, "QUOTA_EXCEEDED")]


async def test_a_stream_that_ends_by_a_fault_of_ours_gets_its_last_unit_back():
    world = World()
    await passed(world, chunks(300), Unavailable("x"))
    assert world.quota.left == 998
    assert world.noted() == [(2, 1, "OVERLOADED")]


async def test_an_upload_counts_once_and_what_is_not_metered_not_at_all():
    world = World()
    await world.step(world.call("UploadBatchInput", payloads=stream([]), requests=stream([1, 2])), nothing)
    assert world.quota.left == 999
    await world.step(world.call("/inference.GRPCInferenceService/ServerReady"), nothing)
    assert world.quota.left == 999


def test_a_meter_that_nobody_keeps_refuses_the_start():
    made = MethodTable()
    service = inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    policy = Policy(public=False, rate_class=RateClass.READ, meter="pages")
    made.add_service(service, {one.name: policy for one in service.methods})
    with pytest.raises(ValueError, match="a meter that nobody keeps"):
        QuotaStep(made, SimpleNamespace(quota=None, events=None), None)
