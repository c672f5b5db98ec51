"""Which credential becomes which principal, and what the platform's methods ask of it."""

import pytest

from cohortlens.core.context import Principal, PrincipalKind
from cohortlens.core.errors import PermissionDenied, Unauthenticated
from cohortlens.core.ids import PLATFORM_TENANT_ID
from gateway.interceptors.authn import Authenticators, AuthnStep
from gateway.interceptors.chain import Call
from gateway.registry import MethodTable, Policy, RateClass
from tests.fakes import echo


def staff(**changes):
    given = {
        "kind": PrincipalKind.USER,
        "amr": ("pwd", "otp"),
        "role": "platform",
        "tenant_id": PLATFORM_TENANT_ID,
    }
    values = {"id": echo.TENANT, "session_id": echo.TENANT, "scopes": frozenset({"platform.keys"}), **given}
    return Principal(**{**values, **changes})


def call_of(policy, metadata=()):
    table = MethodTable()
    table.add_service(echo.FILE.services_by_name["Echo"], dict.fromkeys(
        ("Unary", "Collect", "Expand", "Chat", "Secret"), policy))  # fmt: skip
    return Call("grpc", table.get("/tests.echo.Echo/Secret"), dict(metadata), peer="192.0.2.7")


class Verifiers:
    """Notes who was asked for what, and answers with one principal."""

    def __init__(self, principal):
        self.principal, self.asked = principal, []

    async def token(self, token, *, strict=False):
        self.asked.append(("token", token, strict))
        return self.principal

    async def key(self, text, address, *, strict=False):
        self.asked.append(("key", text, address, strict))
        return self.principal

    def step(self):
        return AuthnStep(Authenticators(self.token, self.key))


async def passed(call):
    return None


READ = Policy(public=False, rate_class=RateClass.READ)
WRITE = Policy(public=False, rate_class=RateClass.WRITE)
PLATFORM = Policy(public=False, rate_class=RateClass.PLATFORM, scopes=("platform.keys",), platform=True)


@pytest.mark.parametrize(("policy", "strict"), [(READ, False), (WRITE, True)])
async def test_a_write_is_never_let_in_by_what_may_be_old(policy, strict):
    verifiers = Verifiers(staff())
    await verifiers.step()(call_of(policy, {"authorization": ["Bearer a.b.c"]}), passed)
    await verifiers.step()(call_of(policy, {"authorization": ["Bearer cl_test_x"]}), passed)
    assert verifiers.asked == [("token", "a.b.c", strict), ("key", "cl_test_x", "192.0.2.7", strict)]


async def test_a_key_is_taken_from_one_header_only():
    verifiers = Verifiers(staff())
    with pytest.raises(Unauthenticated):
        await verifiers.step()(call_of(READ, {"x-api-key": ["cl_test_x"]}), passed)
    assert verifiers.asked == []


async def test_headers_that_name_a_caller_are_read_nowhere():
    verifiers = Verifiers(staff())
    claimed = {
        name: ["CN=owner"] for name in ("x-internal-tenant", "x-forwarded-client-cert", "x-on-behalf-of")
    }
    call = call_of(READ, claimed)
    with pytest.raises(Unauthenticated):
        await verifiers.step()(call, passed)
    assert (call.principal, call.certificate) == (None, None)


async def test_staff_with_a_second_factor_call_the_platform():
    call = call_of(PLATFORM, {"authorization": ["Bearer a.b.c"]})
    await Verifiers(staff()).step()(call, passed)
    assert call.principal == staff()


@pytest.mark.parametrize(
    "changes",
    [
        {"amr": ("pwd",)},
        {"amr": ()},
        {"role": "owner"},
        {"tenant_id": echo.TENANT},
        {"kind": PrincipalKind.API_KEY},
        {"kind": PrincipalKind.SERVICE_ACCOUNT},
    ],
)
async def test_nobody_else_calls_the_platform_whatever_the_scopes(changes):
    call = call_of(PLATFORM, {"authorization": ["Bearer a.b.c"]})
    ran = []

    async def proceed(call):
        ran.append(call)

    with pytest.raises(PermissionDenied) as caught:
        await Verifiers(staff(**changes)).step()(call, proceed)
    assert (caught.value.reason, ran) == ("ROLE_REQUIRED", [])


async def test_a_certificate_without_a_verifier_opens_nothing():
    call = call_of(Policy(public=True, rate_class=RateClass.PUBLIC))
    call.certificate = "-----BEGIN CERTIFICATE-----"
    with pytest.raises(Unauthenticated):
        await Verifiers(staff()).step()(call, passed)
