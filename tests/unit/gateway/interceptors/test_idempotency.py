"""The step of keys without a database: which calls it concerns, what it stores, what it gives again."""

import asyncio
from types import SimpleNamespace
from uuid import UUID, uuid4

import numpy as np
import pytest

from cohortlens.core.errors import (
    Aborted,
    AlreadyExists,
    CohortLensError,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from cohortlens.core.idempotency import Claim
from cohortlens.core.idempotency_keys import Busy, Held, Other, Stored
from cohortlens.v1 import analytics_pb2, auth_keys_pb2
from gateway.composition import public_table
from gateway.interceptors.chain import Call
from gateway.interceptors.idempotency import GRACE_S, IdempotencyStep
from gateway.interceptors.keyed import canonical
from gateway.wire.vectors import VectorRequest

TABLE = public_table(with_reflection=False)
CREATE = "/cohortlens.v1.AuthService/CreateApiKey"
TENANT = UUID(int=7)
CALLER = SimpleNamespace(tenant_id=TENANT, actor="user:1")


class Keys:
    """Keys in memory; ``found`` is what the next attempt finds."""

    def __init__(self, found=None):
        self.found, self.taken, self.stored, self.given_back = found, [], [], []

    async def take(self, scope, request, hold_s):
        self.taken.append((scope, request, hold_s))
        return self.found or Held(Claim(scope, uuid4(), 1), False, b"")

    async def store(self, claim, answer):
        self.stored.append(answer)
        return True

    async def give_back(self, claim, *, is_wrong=False):
        self.given_back.append(is_wrong)
        return True


def call_of(path=CREATE, request=None, **metadata):
    named = {name.replace("_", "-"): [value] for name, value in metadata.items()}
    call = Call("grpc", TABLE.get(path), named)
    call.principal = CALLER
    call.request = request if request is not None else call.method.input_class()
    return call


async def run(keys, call, answer=None, rereads=None):
    async def proceed(call):
        if isinstance(answer, BaseException):
            raise answer
        call.reply = answer or auth_keys_pb2.CreateApiKeyResponse(secret="s")
        call.response_headers.append(("cache-control", "no-store"))

    step = IdempotencyStep(TABLE, keys, rereads or {})
    try:
        await step(call, proceed)
    finally:
        await step.close()


async def test_a_call_without_a_key_touches_no_key():
    keys, call = Keys(), call_of()
    await run(keys, call)
    reads = call_of("/cohortlens.v1.AuthService/ListApiKeys", idempotency_key="k")
    await run(keys, reads)
    public = call_of("/cohortlens.v1.AuthService/RegisterTenant", idempotency_key="k")
    public.principal = None
    await run(keys, public)
    assert (keys.taken, call.claim) == ([], None)


async def test_the_time_of_an_attempt_is_its_deadline_and_five_seconds():
    keys, call = Keys(), call_of(idempotency_key="k")
    await run(keys, call)
    [(scope, _, hold_s)] = keys.taken
    assert (scope.tenant_id, scope.principal, scope.method, scope.key) == (TENANT, "user:1", CREATE, "k")
    assert call.method.default_deadline_s < hold_s <= call.method.default_deadline_s + GRACE_S


async def test_an_answer_is_given_again_with_its_headers():
    keys, first = Keys(), call_of(idempotency_key="k")
    await run(keys, first)
    again = call_of(idempotency_key="k")
    await run(Keys(Stored(keys.stored[0], b"")), again, AssertionError("runs twice"))
    assert again.reply == first.reply
    assert again.response_headers == [("idempotent-replayed", "true"), ("cache-control", "no-store")]
    assert "idempotent-replayed" not in dict(first.response_headers)


@pytest.mark.parametrize(
    ("refusal", "is_stored"),
    [
        (AlreadyExists("it is there", metadata={"id": "1"}), True),
        (InvalidArgument("wrong"), False),
        (Unavailable("away"), False),
        (Aborted("a race", retry_delay_s=0.1), False),
        (ResourceExhausted("all used", reason="QUOTA_EXCEEDED"), False),
    ],
)
async def test_final_refusals_are_stored_and_others_give_the_key_back(refusal, is_stored):
    keys = Keys()
    with pytest.raises(type(refusal)):
        await run(keys, call_of(idempotency_key="k"), refusal)
    is_wrong = isinstance(refusal, InvalidArgument)
    assert (len(keys.stored), keys.given_back) == (int(is_stored), [] if is_stored else [is_wrong])
    if is_stored:
        with pytest.raises(type(refusal)) as again:
            await run(Keys(Stored(keys.stored[0], b"")), call_of(idempotency_key="k"))
        assert (again.value.message, again.value.metadata) == (refusal.message, refusal.metadata)


async def test_a_call_that_is_cut_off_gives_its_key_back():
    keys = Keys()
    with pytest.raises(asyncio.CancelledError):
        await run(keys, call_of(idempotency_key="k"), asyncio.CancelledError())
    assert (keys.given_back, keys.stored) == ([False], [])


@pytest.mark.parametrize(
    ("found", "reason", "retry_s"),
    [(Busy(), "IDEMPOTENCY_IN_PROGRESS", 1.0), (Other(), "IDEMPOTENCY_KEY_REUSED", None)],
)
async def test_a_key_that_is_held_or_another_s_is_refused(found, reason, retry_s):
    with pytest.raises(CohortLensError) as refused:
        await run(Keys(found), call_of(idempotency_key="k"))
    assert (refused.value.reason, refused.value.retry_delay_s) == (reason, retry_s)


async def test_a_committed_request_is_read_again_and_the_answer_kept():
    async def reread(request, made, call):
        return auth_keys_pb2.CreateApiKeyResponse(api_key=auth_keys_pb2.ApiKey(api_key=made["api_key"]))

    scope = SimpleNamespace(method=CREATE)
    keys = Keys(Held(Claim(scope, uuid4(), 2, {"api_key": "k-1"}), True, b""))
    call = call_of(idempotency_key="k")
    await run(keys, call, AssertionError("runs twice"), {CREATE: reread})
    assert (call.reply.api_key.api_key, call.reply.secret, len(keys.stored)) == ("k-1", "", 1)
    assert ("idempotent-replayed", "true") in call.response_headers


@pytest.mark.parametrize("bad", ["", "x" * 256, "line\nbreak", "ü"])
async def test_a_header_that_cannot_be_a_key_is_named(bad):
    with pytest.raises(InvalidArgument) as refused:
        await run(Keys(), call_of(idempotency_key=bad))
    assert [one.field for one in refused.value.violations] == ["idempotency-key"]


def test_the_canonical_form_knows_neither_the_key_nor_the_door():
    vectors = np.array([[1.0, float("nan")], [3.0, 4.0]])
    whole = analytics_pb2.PredictRequest(task=1, request_id=str(uuid4()))
    for row in vectors:
        whole.vectors.add(values=row)
    in_bulk = VectorRequest(analytics_pb2.PredictRequest(task=1), vectors)
    assert canonical(whole, ("request_id",)) == canonical(in_bulk, ("request_id",))
    turned = VectorRequest(in_bulk.message, vectors.reshape(1, 4))
    assert canonical(turned, ("request_id",)) != canonical(in_bulk, ("request_id",))
