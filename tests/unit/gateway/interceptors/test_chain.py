"""The order of the steps, and what a call may count on at each of them."""

import asyncio
import json
import logging

import pytest

from cohortlens.core import telemetry
from cohortlens.core.errors import Code, InvalidArgument
from gateway.interceptors.chain import ORDER, Call, CallFailed, Chain
from tests.fakes.echo import TOKEN, Echo, EchoServicer, echo_chain, echo_table, steps


class Note:
    """A step that writes down when it was entered and left."""

    def __init__(self, name, notes):
        self._name, self._notes = name, notes

    async def __call__(self, call, proceed, /):
        self._notes.append(f"> {self._name}")
        await proceed(call)
        self._notes.append(f"< {self._name}")


def call_of(chain, name="Unary", metadata=None, **options):
    return Call("grpc", chain.table.get(f"/tests.echo.Echo/{name}"), metadata or {}, **options)


async def failure_of(run):
    with pytest.raises(CallFailed) as caught:
        await run
    return caught.value


async def test_the_steps_run_in_the_order_of_the_design():
    assert (
        *("request_id", "observe", "errors", "access", "shed", "address_limit", "authn", "rate_limit"),
        *("entitlement", "share", "validate", "idempotency", "quota"),
    ) == ORDER
    notes, table = [], echo_table()
    real = steps(table)["validate"]
    noted = {name: Note(name, notes) for name in ORDER}

    class Last(Note):
        async def __call__(self, call, proceed, /):
            await super().__call__(call, lambda c: real(c, proceed))

    chain = Chain(table, {"tests.echo.Echo": EchoServicer()}, noted | {"validate": Last("validate", notes)})
    await chain.unary(call_of(chain), b"")
    assert notes == [f"> {name}" for name in ORDER] + [f"< {name}" for name in reversed(ORDER)]


def test_a_missing_or_unknown_step_refuses_the_start():
    table = echo_table()
    without = {name: step for name, step in steps(table).items() if name != "authn"}
    for wrong in (without, steps(table) | {"surprise": object()}):
        with pytest.raises(ValueError, match="exactly the steps"):
            Chain(table, {"tests.echo.Echo": EchoServicer()}, wrong)


def test_a_method_without_a_servicer_refuses_the_start():
    table = echo_table()
    with pytest.raises(ValueError, match=r"no servicer for /tests.echo.Echo/Unary"):
        Chain(table, {}, steps(table))


async def test_nobody_without_a_token_makes_us_decode_or_read():
    chain, touched = echo_chain(EchoServicer()), []
    call = call_of(chain, "Secret", decoder=touched.append)

    async def read():
        touched.append("read")

    call.read = read
    failed = await failure_of(chain.unary(call))
    assert (failed.error.code, failed.error.reason) == (Code.UNAUTHENTICATED, "TOKEN_INVALID")
    assert touched == []


@pytest.mark.parametrize(
    "authorization",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        [TOKEN],
        [f"Basic {TOKEN}"],
        ["Bearer other"],
        [f"Bearer {TOKEN}"] * 2,
    ],
)
async def test_anything_but_one_good_bearer_token_is_refused_with_a_challenge(authorization):
    servicer = EchoServicer()
    chain = echo_chain(servicer)
    call = call_of(chain, "Secret", {"authorization": authorization} if authorization else {})
    failed = await failure_of(chain.unary(call, b""))
    assert failed.error.code == Code.UNAUTHENTICATED
    refused = ', error="invalid_token"' if authorization else ""
    assert ("www-authenticate", f'Bearer realm="cohortlens"{refused}') in call.response_headers
    assert servicer.calls == []


async def test_a_principal_without_the_scope_is_refused_by_the_name_of_the_scope():
    table = echo_table()
    poorer = steps(table)

    async def authenticate(token, *, strict=False):
        from tests.fakes.echo import authenticate

        principal = await authenticate(token)
        return type(principal)(**{**principal.__dict__, "scopes": frozenset({"other"})})

    poorer["authn"] = type(poorer["authn"])(authenticate)
    chain = Chain(table, {"tests.echo.Echo": EchoServicer()}, poorer)
    call = call_of(chain, "Secret", {"authorization": [f"bearer {TOKEN}"]})
    failed = await failure_of(chain.unary(call, b""))
    assert (failed.error.code, failed.error.reason) == (Code.PERMISSION_DENIED, "SCOPE_MISSING")
    assert failed.error.metadata == {"scope": "echo.read"}


async def test_a_bad_timeout_is_answered_and_counted_like_any_fault():
    chain = echo_chain(EchoServicer())
    call = call_of(chain, timeout_fault=InvalidArgument("no", reason="DEADLINE_INVALID"))
    before = _errors("DEADLINE_INVALID")
    failed = await failure_of(chain.unary(call, b""))
    assert failed.error.reason == "DEADLINE_INVALID"
    assert failed.request_id == call.request_id != ""
    assert _errors("DEADLINE_INVALID") == before + 1


async def test_the_deadline_is_the_callers_within_the_class():
    servicer = EchoServicer()
    chain = echo_chain(servicer)
    for timeout_s, expected in ((None, 5), (2, 2), (1e9, 60)):
        await chain.unary(call_of(chain, timeout_s=timeout_s), b"")
        context = servicer.calls[-1].context
        assert context.deadline - servicer.calls[-1].started == pytest.approx(expected)


async def test_work_beyond_the_deadline_is_cancelled():
    servicer = EchoServicer()
    chain = echo_chain(servicer)
    payload = Echo(text="hang").SerializeToString()
    failed = await failure_of(chain.unary(call_of(chain, timeout_s=0.05), payload))
    assert failed.error.code == Code.DEADLINE_EXCEEDED
    assert servicer.cancelled.is_set()


async def test_a_timeout_inside_the_handler_is_not_taken_for_the_deadline():
    table = echo_table()

    class Slow(EchoServicer):
        async def Unary(self, request, call):  # noqa: N802
            raise TimeoutError

    chain = Chain(table, {"tests.echo.Echo": Slow()}, steps(table))
    failed = await failure_of(chain.unary(call_of(chain), b""))
    assert failed.error.code == Code.INTERNAL


async def test_a_cancelled_call_is_logged_and_counted_as_cancelled(lines):
    servicer = EchoServicer()
    chain = echo_chain(servicer)
    call = call_of(chain)
    running = asyncio.create_task(chain.unary(call, Echo(text="hang").SerializeToString()))
    await asyncio.wait_for(servicer.reached.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    logged = lines()[-1]
    assert (logged["code"], logged["level"]) == ("CANCELLED", "info")


async def test_a_reply_that_cannot_be_written_is_a_failure_of_the_call():
    chain = echo_chain(EchoServicer())
    call = call_of(chain)

    def encoder(reply):
        raise InvalidArgument("too large", reason="MESSAGE_TOO_LARGE")

    call.encoder = encoder
    assert (await failure_of(chain.unary(call, b""))).error.reason == "MESSAGE_TOO_LARGE"
    assert call.code == Code.INVALID_ARGUMENT


async def test_a_stream_that_is_left_early_runs_the_servicers_cleanup_before_the_call_ends():
    servicer = EchoServicer()
    chain = echo_chain(servicer)

    async def send(reply):
        raise ConnectionError

    call = call_of(chain, "Expand")
    cleaned = []

    async def expand(request, call):
        try:
            yield Echo()
        finally:
            cleaned.append(True)

    servicer.Expand = expand
    chain = echo_chain(servicer)
    await failure_of(chain.server_stream(call, b"", send))
    assert cleaned == [True]


@pytest.fixture
def lines(tmp_path):
    """Log lines written since, parsed."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with (tmp_path / "log").open("w+", encoding="utf-8") as file:
        telemetry.configure_logging("info", "json", file)

        def read():
            root.handlers[0].flush()
            return [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]

        yield read
        root.handlers[:] = handlers
        root.setLevel(level)


async def test_a_call_is_one_line_with_its_facts_and_no_secret(lines):
    chain = echo_chain(EchoServicer())
    metadata = {
        "authorization": [f"Bearer {TOKEN}"],
        "x-request-id": ["request-0001"],
        "traceparent": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
        "user-agent": ['grpcurl/1.9 "\n' + "x" * 500],
    }
    call = call_of(chain, "Secret", metadata, peer="192.0.2.77")
    await chain.unary(call, Echo(text="my secret text").SerializeToString())
    (line,) = lines()
    expected = {
        "level": "info",
        "event": "call",
        "request_id": "request-0001",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "tenant_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "door": "grpc",
        "method": "/tests.echo.Echo/Secret",
        "code": "OK",
        "deadline_ms": 5000,
        "rate_class": "read",
        "client_ip": "192.0.2.0",
    }
    assert {name: line[name] for name in expected} == expected
    assert len(line["user_agent"]) == 120
    assert TOKEN not in json.dumps(line)
    assert "secret text" not in json.dumps(line)


async def test_an_unexpected_exception_is_logged_with_its_stack_under_the_request_id(lines):
    chain = echo_chain(EchoServicer())
    call = call_of(chain, metadata={"x-request-id": ["request-0002"]})
    failed = await failure_of(chain.unary(call, Echo(text="raise").SerializeToString()))
    assert "hunter2" not in failed.error.message
    stack, line = lines()
    assert stack["event"] == "unexpected"
    assert "hunter2" in stack["stack"]
    assert (line["code"], line["reason"], line["level"]) == ("INTERNAL", "INTERNAL", "error")
    assert stack["request_id"] == line["request_id"] == "request-0002"


def _errors(reason):
    return telemetry.REGISTRY.get_sample_value("gateway_errors_total", {"reason": reason}) or 0


async def test_each_call_counts_once_by_method_code_and_door():
    chain = echo_chain(EchoServicer())
    labels = {"grpc_type": "unary", "grpc_service": "tests.echo.Echo", "grpc_method": "Unary"}

    def sample(name, **more):
        return telemetry.REGISTRY.get_sample_value(name, {**labels, **more}) or 0

    def door(name):
        return telemetry.REGISTRY.get_sample_value(name, {"door": "http"}) or 0

    names = ("grpc_server_started_total", "grpc_server_handling_seconds_count")
    before = [sample(name) for name in names] + [sample("grpc_server_handled_total", grpc_code="NOT_FOUND")]
    calls_before = door("gateway_door_calls_total")
    call = Call("http", chain.table.get("/tests.echo.Echo/Unary"), {})
    await failure_of(chain.unary(call, Echo(text="fault").SerializeToString()))
    after = [sample(name) for name in names] + [sample("grpc_server_handled_total", grpc_code="NOT_FOUND")]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1]
    assert door("gateway_door_calls_total") - calls_before == 1
    assert door("gateway_inflight") == 0
    assert b"grpc_server_handling_seconds_bucket" in telemetry.metrics_text()


async def test_concurrent_calls_do_not_mix_their_request_ids(lines):
    table = echo_table()

    class Talking(EchoServicer):
        async def Unary(self, request, call):  # noqa: N802
            await asyncio.sleep(0)
            telemetry.get_logger("talk").info("said", text=request.text)
            return request

    chain = Chain(table, {"tests.echo.Echo": Talking()}, steps(table))
    calls = [
        chain.unary(
            call_of(chain, metadata={"x-request-id": [f"request-{n:04}"]}),
            Echo(text=f"request-{n:04}").SerializeToString(),
        )
        for n in range(50)
    ]
    await asyncio.gather(*calls)
    said = [line for line in lines() if line["event"] == "said"]
    assert len(said) == 50
    assert all(line["request_id"] == line["text"] for line in said)
