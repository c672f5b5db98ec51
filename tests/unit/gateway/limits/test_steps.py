"""The steps of the limits in the chain: bulk, programs, probes, shadow, costs, shedding by plan."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import pytest

from cohortlens.billing.models import Access, Entitlement, Rates
from cohortlens.core.context import Principal
from cohortlens.core.errors import Unauthenticated
from gateway.interceptors.address_limit import AddressLimitStep
from gateway.interceptors.authn import AuthnStep
from gateway.interceptors.chain import Call, CallFailed, Chain
from gateway.interceptors.rate_limit import RateLimitStep
from gateway.interceptors.shed import Load
from gateway.limits.in_flight import Lease
from gateway.limits.limiter import Limiter
from gateway.rate_settings import RateSettings
from gateway.registry import MethodTable, Policy, RateClass
from tests.fakes.echo import FILE, Echo, EchoServicer, steps

TENANT, USER = UUID(int=1), UUID(int=2)
PROVEN = Echo(text="proven").SerializeToString()
PRINCIPAL = Principal(TENANT, USER, USER, "owner", frozenset())


class Away:
    """A Redis that nobody asks: every process limits for itself."""

    def register_script(self, _):
        return None


class Plans:
    def __init__(self, plan="enterprise"):
        rates = Rates(read=2.0, write=1.0, inference=5.0, bulk_in_flight=2)
        self.known_of = Entitlement(TENANT, plan, 1, Access.FULL, frozenset(), 1, 1, None, rates, 1)

    def known(self, _):
        return self.known_of

    async def of(self, _):
        return self.known_of


@dataclass
class Place:
    chain: Chain
    limiter: Limiter

    async def call(self, token="good", body=b"", peer="203.0.113.9", **metadata):
        info = self.chain.table.get("/tests.echo.Echo/Unary")
        headers = {name.replace("_", "-"): [value] for name, value in metadata.items()}
        call = Call("grpc", info, headers | {"authorization": [f"Bearer {token}"]}, peer=peer)
        try:
            await self.chain.unary(call, body)
        except CallFailed as failed:
            return failed.error, dict(call.response_headers)
        return None, dict(call.response_headers)


async def authenticate(token, *, strict=False):
    if token != "good":
        raise Unauthenticated("no")
    return PRINCIPAL


def place(rate_class, settings=None, load=None, plan="enterprise", servicer=None, known=(), **policy):
    table = MethodTable()
    service = FILE.services_by_name["Echo"]
    one = Policy(**({"public": False, "rate_class": rate_class} | policy))
    table.add_service(service, {method.name: one for method in service.methods})
    limiter = Limiter(Away(), Plans(plan), settings or RateSettings(), 1)
    limiter.store.is_degraded = True
    pacing = RateLimitStep(limiter, load or Load())
    around = steps(table) | {
        "address_limit": AddressLimitStep(limiter, lambda text: text in known),
        "authn": AuthnStep(authenticate, pacing.denied),
        "rate_limit": pacing,
    }
    return Place(Chain(table, {"tests.echo.Echo": servicer or EchoServicer()}, around), limiter)


async def answers(here, number, **options):
    return [(await here.call(**options))[0] for _ in range(number)]


async def test_one_principal_may_use_four_fifths_of_what_its_tenant_may():
    here = place(RateClass.READ, known={"good"})
    faults = await answers(here, 8)
    assert [fault is None for fault in faults] == [True] * 6 + [False] * 2
    assert faults[-1].metadata == {"limit": "read", "limited_by": "principal"}


async def test_every_answer_says_how_the_limit_stands():
    here = place(RateClass.READ, known={"good"})
    _, first = await here.call()
    assert first["ratelimit-policy"].startswith('"read";q=6;w=4;pk=:')
    assert first["ratelimit"].startswith('"read";r=5;t=')
    await answers(here, 6)
    fault, last = await here.call()
    assert fault.reason == "RATE_LIMITED"
    assert last["ratelimit"].startswith('"read";r=0;t=')


async def test_as_many_calls_of_class_bulk_as_the_plan_allows_are_under_way():
    gate, begun, both = asyncio.Event(), [], asyncio.Event()

    class Slow(EchoServicer):
        async def Unary(self, request, call):  # noqa: N802 - named like the RPC
            begun.append(call)
            if len(begun) == 2:
                both.set()
            await gate.wait()
            return request

    here = place(RateClass.BULK, known={"good"}, servicer=Slow())
    running = [asyncio.create_task(here.call()) for _ in range(2)]
    await both.wait()
    fault, headers = await here.call()
    assert (fault.reason, fault.metadata["at_once"]) == ("CONCURRENCY_LIMITED", "2")
    assert fault.quota[0].subject == "tenant"
    assert headers["ratelimit-policy"] == '"bulk";q=2;qu="concurrent-requests"'
    running[0].cancel()
    await asyncio.gather(*running[:1], return_exceptions=True)
    gate.set()
    assert (await here.call())[0] is None
    await asyncio.gather(*running[1:])


async def test_a_program_with_too_many_calls_under_way_hears_overloaded():
    here = place(RateClass.INTERNAL, RateSettings(rate_internal=1), known={"good"})
    held, _ = await here.limiter.enter_internal(PRINCIPAL.actor, 5.0)
    assert isinstance(held, Lease)
    assert (await here.call())[0].reason == "OVERLOADED"
    await here.limiter.leave(held)
    assert (await here.call())[0] is None


class ClientsOnly(EchoServicer):
    """As the endpoint that tells of tokens: who asks shows who it is in the request itself."""

    async def Unary(self, request, call):  # noqa: N802 - named like the RPC
        self.calls.append(call)
        if request.text != "proven":
            raise Unauthenticated("no such client")
        return request


async def test_who_guesses_secrets_of_clients_runs_out_and_who_has_one_never_does():
    settings = RateSettings(rate_pending_auth_address="3/60s")
    here = place(RateClass.INTERNAL, settings, servicer=(servicer := ClientsOnly()), public=True)
    assert await answers(here, 20, body=PROVEN) == [None] * 20
    guesses = await answers(here, 6)
    assert [fault.reason for fault in guesses] == ["TOKEN_INVALID"] * 3 + ["RATE_LIMITED"] * 3
    assert guesses[-1].metadata == {"limit": "pending_auth", "limited_by": "address"}
    # A right guess is not found out then either.
    assert (await here.call(body=PROVEN))[0].reason == "RATE_LIMITED"
    assert len(servicer.calls) == 23


async def test_an_unknown_program_is_counted_by_its_network():
    here = place(RateClass.INTERNAL, RateSettings(rate_internal=1), public=True)
    held, _ = await here.limiter.enter_internal("address:2001:db8::/64", 5.0)
    assert (await here.call(peer="2001:db8::77"))[0].reason == "OVERLOADED"
    assert (await here.call(peer="2001:db8:0:1::77"))[0] is None
    await here.limiter.leave(held)
    assert (await here.call(peer="2001:db8::77"))[0] is None


async def test_a_person_of_the_staff_has_a_limit_of_its_own():
    here = place(RateClass.PLATFORM, RateSettings(rate_platform="3/60s"), known={"good"})
    faults = await answers(here, 4)
    assert [fault is None for fault in faults] == [True, True, True, False]
    assert faults[-1].metadata["limit"] == "platform"


async def test_where_secrets_are_checked_the_refusal_says_so():
    here = place(RateClass.AUTH_SENSITIVE, RateSettings(rate_auth_sensitive="2/60s"), public=True)
    faults = await answers(here, 3)
    assert (faults[1], faults[2].reason) == (None, "LOGIN_RATE_LIMITED")
    assert faults[2].metadata == {"limit": "auth_sensitive", "limited_by": "address"}


async def test_probes_are_free():
    here = place(RateClass.PUBLIC, RateSettings(rate_public="1/60s"), public=True, quiet=True)
    assert await answers(here, 10) == [None] * 10


async def test_a_guess_takes_a_unit_of_its_own_and_of_its_address_and_a_known_credential_none():
    settings = RateSettings(rate_pending_auth="2/60s", rate_pending_auth_address="5/60s", rate_read="99/1s")
    here = place(RateClass.READ, settings, known={"good"})
    guesses = await answers(here, 3, token="bad")
    assert [fault.reason for fault in guesses] == ["TOKEN_INVALID", "TOKEN_INVALID", "RATE_LIMITED"]
    assert guesses[2].metadata == {"limit": "pending_auth", "limited_by": "credential"}
    others = [(await here.call(token=f"bad-{number}"))[0] for number in range(4)]
    assert [fault.reason for fault in others] == ["TOKEN_INVALID"] * 3 + ["RATE_LIMITED"]
    assert others[3].metadata["limited_by"] == "address"
    assert (await here.call())[0] is None


async def test_a_credential_that_was_good_and_was_taken_back_is_limited_like_a_guess():
    """It is remembered as verified for a while, and each refusal leaves an entry in the access log."""
    settings = RateSettings(rate_pending_auth="2/60s", rate_read="99/1s")
    here = place(RateClass.READ, settings, known={"good", "taken back"})
    refused = await answers(here, 5, token="taken back")
    assert [fault.reason for fault in refused] == ["TOKEN_INVALID"] * 2 + ["RATE_LIMITED"] * 3
    assert refused[2].metadata == {"limit": "pending_auth", "limited_by": "credential"}
    assert (await here.call())[0] is None


@pytest.mark.parametrize("rate_class", [RateClass.WRITE, RateClass.BULK, RateClass.PLATFORM])
async def test_who_may_not_make_a_call_is_limited_all_the_same(rate_class):
    """A viewer could else fill the access log, and so keep everybody from what must be noted there."""
    here = place(rate_class, RateSettings(rate_read="5/60s"), known={"good"}, scopes=("tenant.write",))
    denied = await answers(here, 6)
    assert [fault.reason for fault in denied] == ["SCOPE_MISSING"] * 4 + ["RATE_LIMITED"] * 2
    assert denied[-1].metadata == {"limit": "read", "limited_by": "principal"}


async def test_a_limit_in_shadow_counts_and_refuses_nothing():
    here = place(RateClass.READ, RateSettings(rate_read="1/60s", rate_shadow="read"), known={"good"})
    assert await answers(here, 5) == [None] * 5


async def test_costs_beyond_the_first_unit_are_taken_once_the_rows_are_known():
    here = place(RateClass.INFERENCE, known={"good"}, cost=5)
    info = here.chain.table.get("/tests.echo.Echo/Unary")
    call = Call("grpc", info, {})
    call.principal = PRINCIPAL
    await here.limiter.take_more(call, 3)
    pace = here.limiter.pace(PRINCIPAL, RateClass.INFERENCE)
    # Of the principal's 16 units at once, 14 are gone: three hundred rows of 5, less the one of the step.
    assert [await pace.wait(0.0) is None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("plan", "calls", "is_shed"),
    [("basic", 149, False), ("basic", 150, True), ("professional", 150, False), ("professional", 299, False)],
)
async def test_inference_of_the_plan_basic_is_shed_first(plan, calls, is_shed):
    load = Load(calls_max=100)
    load.calls = calls
    here = place(RateClass.INFERENCE, load=load, plan=plan, known={"good"})
    fault, _ = await here.call()
    assert (fault is not None and fault.reason == "OVERLOADED") == is_shed
