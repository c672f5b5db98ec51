"""Streams under way: what ends them, how soon, and what leaves them alone."""

from __future__ import annotations

import asyncio

import pytest

from cohortlens.core.context import Principal, PrincipalKind
from cohortlens.core.errors import Code, Unauthenticated, Unavailable
from gateway.interceptors.authn import Authenticators, AuthnStep
from gateway.interceptors.chain import Call, CallFailed, Chain
from gateway.interceptors.standing import Standing, Stream
from gateway.registry import MethodTable, Policy, RateClass
from tests.fakes.echo import FILE, TENANT, Echo, EchoServicer, steps

BOUND_S = 2.0
KEY = "cl_test_somebody"


class News:
    """Changes of access that a test makes up."""

    def __init__(self):
        self.edition, self.fresh_until, self.in_use = 0, float("inf"), False
        self.fault = None
        self.ended = set()

    async def refreshed(self, now, *, strict=False):
        if self.fault is not None:
            raise self.fault

    def end(self, credential):
        self.ended.add(credential)
        self.edition += 1

    def standing_of(self, token):
        def check():
            if token in self.ended:
                raise Unauthenticated("the session was ended", reason="TOKEN_REVOKED")

        return check


def person(scopes=("echo.read",), kind=PrincipalKind.USER):
    return Principal(TENANT, TENANT, TENANT, "analyst", frozenset(scopes), kind)


class Gateway:
    """The real chain over news and a key that a test changes."""

    def __init__(self):
        self.news, self.servicer = News(), EchoServicer()
        self.key_scopes, self.key_fault, self.proofs = ("echo.read",), None, 0
        table = MethodTable()
        private = Policy(public=False, rate_class=RateClass.BULK, scopes=("echo.read",))
        table.add_service(
            FILE.services_by_name["Echo"],
            dict.fromkeys(("Unary", "Collect", "Expand", "Chat", "Secret"), private),
        )

        async def token(text, *, strict=False):
            return person()

        async def key(text, address, *, strict=False):
            self.proofs += 1
            if self.key_fault is not None:
                raise self.key_fault
            return person(self.key_scopes, PrincipalKind.API_KEY)

        authn = AuthnStep(Authenticators(token, key, standing=Standing(self.news, self.news.standing_of)))
        self.chain = Chain(table, {"tests.echo.Echo": self.servicer}, {**steps(table), "authn": authn})
        self.calls = []

    def start(self, method, credential="token"):
        """A stream that has sent one message and waits for the next."""
        call = Call(
            "grpc",
            self.chain.table.get(f"/tests.echo.Echo/{method}"),
            {"authorization": [f"Bearer {credential}"]},
        )
        self.calls.append(call)
        sent = []

        async def send(reply):
            sent.append(reply)

        async def requests():
            yield Echo(text="first").SerializeToString()
            self.servicer.reached.set()
            await asyncio.Event().wait()

        if method == "Collect":
            run = self.chain.client_stream(call, requests())
        elif method == "Expand":
            run = self.chain.server_stream(call, Echo(text="hang").SerializeToString(), send)
        else:
            run = self.chain.bidi_stream(call, requests(), send)
        return asyncio.create_task(run)

    async def started(self, method, credential="token"):
        self.servicer.reached.clear()
        task = self.start(method, credential)
        await asyncio.wait_for(self.servicer.reached.wait(), BOUND_S)
        return task


@pytest.fixture
def gateway():
    return Gateway()


async def failure(task):
    with pytest.raises(CallFailed) as failed:
        await asyncio.wait_for(task, BOUND_S)
    assert task.cancelling() == 0
    return failed.value.error


@pytest.mark.parametrize("method", ["Collect", "Expand", "Chat"])
async def test_a_stream_on_which_nothing_moves_ends_with_its_session(gateway, method):
    task = await gateway.started(method)
    gateway.news.end("token")
    error = await failure(task)
    assert (error.code, error.reason) == (Code.UNAUTHENTICATED, "TOKEN_REVOKED")
    assert error.principal.tenant_id == TENANT
    assert dict(gateway.calls[0].response_headers)["www-authenticate"].endswith('error="invalid_token"')
    if method == "Expand":
        assert gateway.servicer.cancelled.is_set()


async def test_others_go_on_and_a_later_end_finds_them_too(gateway):
    mine, yours = await gateway.started("Chat", "mine"), await gateway.started("Chat", "yours")
    gateway.news.end("mine")
    await failure(mine)
    await asyncio.sleep(0.3)
    assert not yours.done()
    gateway.news.end("yours")
    assert (await failure(yours)).reason == "TOKEN_REVOKED"


async def test_while_streams_run_the_changes_are_followed_and_afterwards_nobody_looks(gateway):
    task = await gateway.started("Chat")
    gateway.news.in_use = False
    await asyncio.sleep(0.3)
    assert gateway.news.in_use
    gateway.news.end("token")
    await failure(task)
    await asyncio.sleep(0.3)
    gateway.news.in_use = False
    await asyncio.sleep(0.3)
    assert not gateway.news.in_use
    assert not [one for one in asyncio.all_tasks() if one.get_name() == "stream-watch"]


async def test_a_key_that_is_revoked_ends_its_download(gateway):
    task = await gateway.started("Expand", KEY)
    gateway.key_fault = Unauthenticated("the API key is not valid here", reason="API_KEY_INVALID")
    assert (await failure(task)).reason == "API_KEY_INVALID"


async def test_a_key_that_lost_the_scope_ends_its_stream(gateway):
    task = await gateway.started("Chat", KEY)
    gateway.key_scopes = ()
    error = await failure(task)
    assert (error.code, error.reason) == (Code.PERMISSION_DENIED, "SCOPE_MISSING")


async def test_a_key_whose_row_cannot_be_read_for_a_moment_goes_on(gateway):
    task = await gateway.started("Chat", KEY)
    gateway.key_fault = Unavailable("away", reason="DATABASE_UNAVAILABLE")
    before = gateway.proofs
    await asyncio.sleep(1.3)
    assert gateway.proofs > before
    assert not task.done()
    task.cancel()
    await asyncio.wait({task})


async def test_when_nobody_can_tell_any_more_every_stream_ends(gateway):
    task = await gateway.started("Chat")
    gateway.news.fresh_until = 0.0
    await asyncio.sleep(0.3)
    assert not task.done()
    gateway.news.fault = Unavailable("away too long", reason="DATABASE_UNAVAILABLE")
    error = await failure(task)
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "DATABASE_UNAVAILABLE")


async def test_a_look_that_fails_lets_nothing_go_on(gateway):
    task = await gateway.started("Chat")
    gateway.news.fresh_until, gateway.news.fault = 0.0, RuntimeError("a fault of ours")
    assert (await failure(task)).code == Code.UNAVAILABLE


async def test_a_stream_that_ends_and_whose_caller_leaves_at_once_counts_as_left():
    under_way = asyncio.create_task(asyncio.sleep(BOUND_S))
    stream = Stream(under_way, None, None)
    stream.end(Unauthenticated("ended", reason="TOKEN_REVOKED"))
    under_way.cancel()
    assert stream.ended() is None
    assert under_way.cancelling() == 1
