"""The internal port with real TLS: who gets in, what the chain makes of a certificate, how files are replaced."""

import asyncio
import shutil
import socket
import ssl

import grpc
import pytest

from cohortlens.core.context import Principal, PrincipalKind
from cohortlens.core.errors import Unauthenticated
from cohortlens.identity.programs.certificates import certificate
from gateway.grpc.internal import InternalListener, TlsFiles
from gateway.grpc.server import PortInUseError
from gateway.interceptors.authn import Authenticators, AuthnStep
from gateway.interceptors.chain import Chain
from gateway.servicers import reflection
from tests.fakes import echo
from tests.fixtures.certificates import Authority
from tests.fixtures.waiting import eventually

ACCOUNT, OTHER = echo.UUID(int=7), echo.UUID(int=8)
KNOWN = "loader.tenant.internal"
SERVER = "gateway.cohortlens.internal"


def program(account=ACCOUNT, scopes=("echo.read",)):
    return Principal(
        echo.TENANT, account, account, "service", frozenset(scopes), PrincipalKind.SERVICE_ACCOUNT
    )


async def by_certificate(pem, _address):
    if KNOWN not in certificate(pem).names:
        raise Unauthenticated("not a program of ours", reason="CLIENT_INVALID")
    return program()


async def by_token(token, *, strict=False):
    people = Principal(echo.TENANT, ACCOUNT, ACCOUNT, "owner", frozenset({"echo.read"}))
    return {"own": program(), "others": program(OTHER), "person": people}[token]


class Whoami(echo.EchoServicer):
    """Answers who the chain says is calling."""

    async def Secret(self, request, call):  # noqa: N802 - named like the RPC
        return echo.Echo(text=call.context.caller.actor)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "ours")


@pytest.fixture
def files(authority, tmp_path):
    issued = authority.issue(SERVER, as_file="server")
    return TlsFiles(authority.path, issued.certificate, issued.key)


def chain():
    table = echo.echo_table()
    reflection.add_reflection(table)
    steps = echo.steps(table)
    steps["authn"] = AuthnStep(Authenticators(by_token, certificate=by_certificate))
    own = dict.fromkeys(reflection.SERVICES, reflection.ReflectionServicer(table))
    return Chain(table, {"tests.echo.Echo": Whoami(), **own}, steps)


@pytest.fixture
async def listener(files):
    one = InternalListener(files, "127.0.0.1", 0, 1.0)
    one.bind()
    await one.open(chain())
    yield one
    await one.stop()


def channel(listener, authority, issued=None):
    credentials = grpc.ssl_channel_credentials(
        authority.path.read_bytes(),
        *((issued.key.read_bytes(), issued.certificate.read_bytes()) if issued is not None else ()),
    )
    options = [("grpc.ssl_target_name_override", SERVER), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.secure_channel(f"127.0.0.1:{listener.port}", credentials, options=options)


async def called(listener, authority, issued=None, method="Secret", metadata=()):
    async with channel(listener, authority, issued) as open_channel:
        call = open_channel.unary_unary(
            f"/tests.echo.Echo/{method}",
            request_serializer=echo.Echo.SerializeToString,
            response_deserializer=echo.Echo.FromString,
        )
        return (await call(echo.Echo(text="hello"), metadata=metadata, timeout=5)).text


async def refusal(*args, **options):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await called(*args, **options)
    return caught.value.code()


async def test_the_account_of_the_certificate_is_the_caller(listener, authority):
    assert await called(listener, authority, authority.issue(KNOWN)) == f"service_account:{ACCOUNT}"


@pytest.mark.parametrize("kind", ["none", "expired", "other authority"])
async def test_no_call_gets_through_without_a_certificate_of_the_authority(
    listener, authority, tmp_path, kind
):
    issued = {
        "none": lambda: None,
        "expired": lambda: authority.issue(KNOWN, days=-1),
        "other authority": lambda: Authority(tmp_path, "theirs").issue(KNOWN),
    }[kind]()
    assert await refusal(listener, authority, issued) == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("method", ["Secret", "Unary"])
async def test_a_name_that_is_no_account_is_refused_public_methods_too(listener, authority, method):
    issued = authority.issue("stranger.tenant.internal")
    assert await refusal(listener, authority, issued, method) == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("token", "code"),
    [("own", None), ("others", grpc.StatusCode.UNAUTHENTICATED), ("person", grpc.StatusCode.UNAUTHENTICATED)],
)
async def test_a_token_is_worth_nothing_without_the_certificate_of_its_account(
    listener, authority, token, code
):
    metadata = [("authorization", f"Bearer {token}")]
    issued = authority.issue(KNOWN)
    if code is None:
        assert await called(listener, authority, issued, metadata=metadata)
    else:
        assert await refusal(listener, authority, issued, metadata=metadata) == code


async def test_what_a_caller_writes_about_itself_changes_nothing(listener, authority):
    claimed = [
        ("x-forwarded-client-cert", f"By=spiffe://a;DNS={KNOWN}"),
        ("x-internal-tenant", str(OTHER)),
        ("x-internal-principal", f"user:{OTHER}"),
        ("x-on-behalf-of", str(OTHER)),
    ]
    stranger = authority.issue("stranger.tenant.internal")
    assert await refusal(listener, authority, stranger, metadata=claimed) == grpc.StatusCode.UNAUTHENTICATED
    known = authority.issue(KNOWN)
    assert await called(listener, authority, known, metadata=claimed) == f"service_account:{ACCOUNT}"


async def test_there_is_no_reflection(listener, authority):
    async with channel(listener, authority, authority.issue(KNOWN)) as open_channel:
        for service in reflection.SERVICES:
            call = open_channel.stream_stream(f"/{service}/ServerReflectionInfo")()
            assert await call.code() == grpc.StatusCode.UNIMPLEMENTED


def _handshake(listener, authority, issued, version):
    context = ssl.create_default_context(cafile=authority.path)
    context.load_cert_chain(issued.certificate, issued.key)
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", listener.port), 5) as raw,
        context.wrap_socket(raw, server_hostname=SERVER) as wrapped,
    ):
        return wrapped.version()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_tls_before_1_2_is_refused(listener, authority):
    issued = authority.issue(KNOWN)
    for version, shown in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        assert await asyncio.to_thread(_handshake, listener, authority, issued, version) == shown
    with pytest.raises(ssl.SSLError):
        await asyncio.to_thread(_handshake, listener, authority, issued, ssl.TLSVersion.TLSv1_1)


async def test_new_files_are_taken_up_while_calls_go_on(listener, files, authority, tmp_path):
    theirs = Authority(tmp_path, "next")
    issued = theirs.issue(SERVER, as_file="next-server")
    new = theirs.issue(KNOWN)
    assert await called(listener, authority, authority.issue(KNOWN))
    for source, target in (
        (theirs.path, files.authority), (issued.certificate, files.certificate), (issued.key, files.key),
    ):  # fmt: skip
        shutil.copy(source, target)

    async def is_new():
        try:
            return await called(listener, theirs, new)
        except grpc.aio.AioRpcError:
            return None

    assert await eventually(is_new, 10, "the new certificates")


async def test_broken_files_leave_the_port_as_it_is(listener, files, authority):
    files.certificate.write_text("half a file")
    await asyncio.sleep(2.5)
    # The file with the authority is still right, only the server's own certificate is not.
    assert await called(listener, authority, authority.issue(KNOWN))


async def test_a_port_that_is_taken_is_named(files):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listener = InternalListener(files, "127.0.0.1", taken.getsockname()[1], 1.0)
        with pytest.raises(PortInUseError, match="COHORTLENS_INTERNAL_PORT"):
            listener.bind()


async def test_processes_of_one_gateway_share_the_port(files, authority):
    first = InternalListener(files, "127.0.0.1", 0, 1.0, is_shared=True)
    first.bind()
    await first.open(chain())
    second = InternalListener(files, "127.0.0.1", first.port, 1.0, is_shared=True)
    second.bind()
    issued = authority.issue(KNOWN)
    try:
        # Bound but not yet open: it must get no connections.
        for _ in range(8):
            assert await called(first, authority, issued)
        await second.open(chain())
    finally:
        await first.stop()
    for _ in range(8):
        assert await called(second, authority, issued)
    await second.stop()
