"""The client over real connections: TLS both ways, details of failures, repeats, streams left and resumed."""

import asyncio
import threading

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from cohortlens.client import ApiKey, CohortLens, Tls, v1
from cohortlens.client.errors import Cancelled, DeadlineExceeded, InvalidArgument, Unavailable
from cohortlens.v1 import consent_checks_pb2, customers_pb2
from tests.fixtures.certificates import Authority

GET = "/cohortlens.v1.CustomersService/GetCustomer"
WATCH = "/cohortlens.v1.ConsentService/WatchConsents"
IMPORT = "/cohortlens.v1.CustomersService/ImportTransactions"
SCORE = "/cohortlens.v1.AnalyticsService/ScoreTensor"
ASKED = v1.GetCustomerRequest(customer="c")


class Service(grpc.GenericRpcHandler):
    """Methods by path: a function of (request bytes or iterator, context); ``kinds`` of those that stream."""

    def __init__(self, **methods):
        self.paths = {
            GET: "unary_unary",
            WATCH: "unary_stream",
            IMPORT: "stream_unary",
            SCORE: "stream_stream",
        }
        self.methods, self.seen = methods, []

    def service(self, details):
        kind = self.paths.get(details.method)
        if kind is None:
            return None
        self.seen.append(dict(details.invocation_metadata))
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(self.methods[details.method.rpartition("/")[2]])


class Served:
    """Serves on 127.0.0.1 until the test ends."""

    def __init__(self):
        self.servers = []

    async def __call__(self, service, credentials=None):
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((service,))
        if credentials is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        self.servers.append(server)
        return f"127.0.0.1:{port}"


@pytest.fixture
async def serve():
    served = Served()
    yield served
    for server in served.servers:
        await server.stop(0)


async def found(request, context):
    customer = customers_pb2.GetCustomerRequest.FromString(request).customer
    reply = customers_pb2.GetCustomerResponse(customer=customers_pb2.Customer(customer=customer, orders=7))
    return reply.SerializeToString()


async def test_a_message_arrives_and_its_answer_returns_with_key_and_program_named(serve):
    service = Service(GetCustomer=found)
    async with CohortLens(await serve(service), ApiKey("k")) as client:
        reply = await client.customers.get_customer(ASKED, metadata=(("x-request-id", "mine-12345"),))
    assert reply.customer == v1.Customer(customer="c", orders=7)
    assert service.seen[0]["authorization"] == "Bearer k"
    assert service.seen[0]["x-request-id"] == "mine-12345"
    assert service.seen[0]["user-agent"].startswith("cohortlens-python/")


async def test_tls_is_expected_of_the_authority_that_is_named_and_shows_a_certificate(serve, tmp_path):
    authority, stranger = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    own, mine = authority.issue("api.example.com"), authority.issue("client.example.com")
    pair = ((own.key.read_bytes(), own.certificate.read_bytes()),)
    asking = grpc.ssl_server_credentials(pair, authority.path.read_bytes(), require_client_auth=True)
    target = await serve(Service(GetCustomer=found), asking)
    tls = Tls(authority.path, mine.certificate, mine.key, server_name="api.example.com")
    async with CohortLens(target, ApiKey("k"), tls=tls) as client:
        assert (await client.customers.get_customer(ASKED)).customer.orders == 7
    for wrong in (
        Tls(stranger.path, mine.certificate, mine.key, server_name="api.example.com"),
        Tls(authority.path, mine.certificate, mine.key, server_name="other.example.com"),
        Tls(authority.path, server_name="api.example.com"),
    ):
        async with CohortLens(target, ApiKey("k"), tls=wrong) as client:
            with pytest.raises(Unavailable):
                await client.customers.get_customer(ASKED, timeout_s=1)


async def refuse(context, code, *details):
    status = status_pb2.Status(code=code_pb2.Code.Value(code), message="wrong")
    for one in details:
        packed = any_pb2.Any()
        packed.Pack(one)
        status.details.append(packed)
    trailers = (("grpc-status-details-bin", status.SerializeToString()),)
    context.set_trailing_metadata(trailers)
    await context.abort(getattr(grpc.StatusCode, code), "wrong")


async def test_the_details_of_a_failure_are_read(serve):
    async def refused(request, context):
        await refuse(
            context,
            "INVALID_ARGUMENT",
            error_details_pb2.ErrorInfo(reason="FIELD_INVALID", domain="cohortlens", metadata={"a": "b"}),
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field="customer", description="too long")
                ]
            ),
            error_details_pb2.RequestInfo(request_id="r-1"),
        )

    async with CohortLens(await serve(Service(GetCustomer=refused)), ApiKey("k")) as client:
        with pytest.raises(InvalidArgument) as raised:
            await client.customers.get_customer(ASKED)
    error = raised.value
    assert (error.reason, error.metadata, error.request_id) == ("FIELD_INVALID", {"a": "b"}, "r-1")
    assert error.violations == [("customer", "too long")]
    assert str(error) == "FIELD_INVALID: wrong; customer: too long (request r-1)"


async def test_a_service_that_says_when_is_asked_again_then(serve):
    count = []

    async def busy(request, context):
        count.append(1)
        if len(count) < 3:
            delay = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=20_000_000))
            await refuse(context, "RESOURCE_EXHAUSTED", delay)
        return await found(request, context)

    async with CohortLens(await serve(Service(GetCustomer=busy)), ApiKey("k")) as client:
        assert (await client.customers.get_customer(ASKED)).customer.orders == 7
    assert len(count) == 3


async def test_a_deadline_reaches_the_service_and_ends_the_call_there(serve):
    ended = asyncio.Event()

    async def slow(request, context):
        assert 0 < context.time_remaining() <= 0.3
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with CohortLens(await serve(Service(GetCustomer=slow)), ApiKey("k")) as client:
        with pytest.raises(DeadlineExceeded):
            await client.customers.get_customer(ASKED, timeout_s=0.3)
        await asyncio.wait_for(ended.wait(), 10)


async def test_a_stream_that_breaks_goes_on_and_one_that_is_left_ends_at_the_service(serve):
    asked, left = [], asyncio.Event()

    async def watch(request, context):
        token = consent_checks_pb2.WatchConsentsRequest.FromString(request).resume_token
        asked.append(token)
        try:
            for number in range(int(token or 0) + 1, 10):
                yield consent_checks_pb2.WatchConsentsResponse(resume_token=str(number)).SerializeToString()
                if number == 2:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "going")
            await asyncio.sleep(60)
        finally:
            if len(asked) == 2:
                left.set()

    async with CohortLens(await serve(Service(WatchConsents=watch)), ApiKey("k")) as client:
        changes = client.consent.watch_consents()
        assert [(await anext(changes)).resume_token for _ in range(4)] == ["1", "2", "3", "4"]
        assert asked == ["", "2"]
        await changes.aclose()
        await asyncio.wait_for(left.wait(), 10)


async def test_threads_share_a_blocking_client_and_its_files_and_conversations(serve):
    async def take(requests, context):
        size = 0
        async for request in requests:
            size += len(customers_pb2.ImportTransactionsRequest.FromString(request).chunk)
        reply = customers_pb2.ImportTransactionsResponse()
        getattr(reply, "import").rows.read = size
        return reply.SerializeToString()

    async def echo(requests, context):
        async for request in requests:
            yield request

    target = await serve(Service(GetCustomer=found, ImportTransactions=take, ScoreTensor=echo))
    seen = []

    def work():
        with CohortLens.sync(target, ApiKey("k")) as client:
            threads = [
                threading.Thread(
                    target=lambda: seen.append(client.customers.get_customer(ASKED).customer.orders)
                )
                for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            pieces = (v1.ImportTransactionsRequest(chunk=b"x" * 1000) for _ in range(5))
            seen.append(client.customers.import_transactions(pieces).import_.rows.read)
            requests = [v1.ScoreTensorRequest() for _ in range(3)]
            seen.append(len(list(client.analytics.score_tensor(requests))))
        with pytest.raises(RuntimeError, match="this client is closed"):
            client.customers.get_customer(ASKED)

    await asyncio.to_thread(work)
    assert seen == [7] * 8 + [5000, 3]


async def test_closing_gives_up_what_is_under_way(serve):
    begun = asyncio.Event()

    async def slow(request, context):
        begun.set()
        await asyncio.sleep(60)

    client = CohortLens(await serve(Service(GetCustomer=slow)), ApiKey("k"))
    call = asyncio.create_task(client.customers.get_customer(ASKED))
    await asyncio.wait_for(begun.wait(), 10)
    await client.close()
    with pytest.raises((Cancelled, asyncio.CancelledError)):
        await call
