"""From an empty tenant to its end, as its people live it: links, pages, roles, staff, deletion and return."""

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

import pyotp
import pytest

from cohortlens.cli.client import Client, Credentials
from cohortlens.cli.errors import ApiError
from cohortlens.v1 import auth_login_pb2, auth_pb2, auth_tenants_pb2, auth_users_pb2
from tests.e2e.conftest import PASSWORD

ANA, BOB, SAM = "ana@corner.example", "bob@corner.example", "sam@platform.example"


class Browser:
    """A person at a page: keeps cookies, sends forms with what the page hid in them."""

    def __init__(self):
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def get(self, url):
        return self._sent(urllib.request.Request(url))

    def post(self, url, page, **fields):
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
        parts = urllib.parse.urlsplit(url)
        headers = {"Origin": f"{parts.scheme}://{parts.netloc}"}
        data = urllib.parse.urlencode({**hidden, **fields}).encode()
        return self._sent(urllib.request.Request(url, data=data, headers=headers))

    def _sent(self, request):
        try:
            with self._opener.open(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()


def status_of(stack, token):
    """HTTP status of a call with an access token."""
    request = urllib.request.Request(
        f"{stack.http}/api/v1/users/me", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def refused_within(stack, token, bound_s=2.0):
    """Wait until an access token is refused, which may take two seconds."""
    end = time.monotonic() + bound_s
    while (answer := status_of(stack, token))[0] == 200:
        assert time.monotonic() < end, "the token still works"
        time.sleep(0.05)
    assert answer[0] == 401


@pytest.fixture(scope="module")
def ana(stack):
    """The owner of a tenant that the operator made; she joined by the printed link."""
    made = stack.json("tenant", "create", "--name", "Corner Shop", "--email", ANA)["data"]
    browser = Browser()
    status, page = browser.get(made["link"])
    assert (status, "Join Corner Shop" in page) == (200, True)
    assert browser.get(made["link"])[0] == 200, "looking uses nothing up"
    status, again = browser.post(made["link"], page, password="short", again="short", terms="yes")
    assert (status, "at least 12 characters" in again) == (400, True)
    status, joined = browser.post(made["link"], page, password=PASSWORD, again=PASSWORD, terms="yes")
    assert (status, "You have joined" in joined) == (200, True)
    assert browser.get(made["link"])[0] == 401
    with Client(stack.grpc, Credentials(ANA, PASSWORD)) as client:
        yield client


@pytest.fixture(scope="module")
def bob(stack, ana):
    """A viewer of the tenant, invited by mail, who joined by RPC."""
    ana.call(ana.auth.InviteUser, auth_users_pb2.InviteUserRequest(email=BOB, role="viewer"))
    request = auth_users_pb2.AcceptInvitationRequest(token=stack.mailed_token(BOB), password=PASSWORD)
    joined = ana.public(ana.auth.AcceptInvitation, request)
    assert (joined.role, status_of(stack, joined.access_token)[0]) == ("viewer", 200)
    with Client(stack.grpc, Credentials(BOB, PASSWORD)) as client:
        yield client


@pytest.fixture(scope="module")
def sam(stack):
    """One of the platform's staff with an authenticator, logged in by it."""
    link = stack.json("platform", "add-user", "--email", SAM)["data"]["link"]
    browser = Browser()
    _, page = browser.get(link)
    assert "You have joined" in browser.post(link, page, password=PASSWORD, again=PASSWORD)[1]
    with Client(stack.grpc, Credentials(SAM, PASSWORD)) as client:
        with pytest.raises(ApiError) as caught:
            client.call(client.auth.ListTenants, auth_tenants_pb2.ListTenantsRequest())
        assert caught.value.reason == "ROLE_REQUIRED"
        begun = client.call(client.auth.BeginTotp, auth_login_pb2.BeginTotpRequest(password=PASSWORD))
        code = auth_login_pb2.ConfirmTotpRequest(code=pyotp.TOTP(begun.secret).now())
        recovery = client.call(client.auth.ConfirmTotp, code).recovery_codes
    with Client(stack.grpc, Credentials(SAM, PASSWORD, totp=recovery[0])) as client:
        yield client


def test_the_owner_of_a_made_tenant_has_accepted_the_terms(ana):
    tenant = ana.call(ana.auth.GetTenant, auth_tenants_pb2.GetTenantRequest()).tenant
    assert (tenant.display_name, tenant.terms_version) == ("Corner Shop", "2026-11")
    me = ana.call(ana.auth.GetMe, auth_pb2.GetMeRequest())
    assert (me.role, me.email, me.status) == ("owner", ANA, auth_users_pb2.USER_STATUS_ACTIVE)
    assert me.last_login_time.seconds > 1_700_000_000


def test_users_are_listed_and_changed_over_http_with_mask_and_etag(stack, ana, bob):
    headers = {"Authorization": f"Bearer {ana.access_token()}", "Content-Type": "application/json"}

    def sent(verb, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{stack.http}/api/v1{path}", data, headers, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)

    first = sent("GET", "/users?pageSize=1")[1]
    second = sent("GET", f"/users?pageSize=1&pageToken={first['nextPageToken']}")[1]
    found = second["users"][0]
    assert ([first["users"][0]["email"], found["email"]], second.get("nextPageToken", "")) == ([ANA, BOB], "")
    change = {"role": "analyst", "updateMask": "role", "etag": found["etag"]}
    assert sent("PATCH", f"/users/{found['user']}", change)[1]["user"]["role"] == "analyst"
    assert sent("PATCH", f"/users/{found['user']}", change)[0] == 409
    assert sent("PATCH", "/tenant", {"retentionDays": 400, "updateMask": "retentionDays"})[1]["tenant"][
        "retentionDays"
    ] in {400, "400"}
    assert bob.call(bob.auth.GetMe, auth_pb2.GetMeRequest()).role == "analyst"


def test_staff_suspend_and_resume_a_tenant(stack, bob, sam):
    tenant = bob.call(bob.auth.GetMe, auth_pb2.GetMeRequest()).tenant
    token = bob.access_token()
    listed = sam.call(sam.auth.ListTenants, auth_tenants_pb2.ListTenantsRequest(page_size=1000)).tenants
    assert tenant in {one.tenant for one in listed}
    request = auth_tenants_pb2.SuspendTenantRequest(tenant=tenant, reason="invoice 4711 is unpaid")
    assert sam.call(sam.auth.SuspendTenant, request).tenant.status == auth_tenants_pb2.TENANT_STATUS_SUSPENDED
    refused_within(stack, token)
    for password, reason in (("a wrong password", "INVALID_CREDENTIALS"), (PASSWORD, "TENANT_SUSPENDED")):
        with Client(stack.grpc, Credentials(BOB, password)) as client, pytest.raises(ApiError) as caught:
            client.call(client.auth.GetMe, auth_pb2.GetMeRequest())
        assert caught.value.reason == reason
    resumed = auth_tenants_pb2.ResumeTenantRequest(tenant=tenant, reason="invoice 4711 was paid")
    assert sam.call(sam.auth.ResumeTenant, resumed).tenant.status == auth_tenants_pb2.TENANT_STATUS_ACTIVE
    assert bob.call(bob.auth.GetMe, auth_pb2.GetMeRequest()).tenant == tenant


def test_an_owner_deletes_the_tenant_and_brings_it_back_by_the_page(stack, ana, bob):
    tokens = [ana.access_token(), bob.access_token()]
    request = auth_tenants_pb2.DeleteTenantRequest(password=PASSWORD)
    deleted = ana.call(ana.auth.DeleteTenant, request).tenant
    assert deleted.status == auth_tenants_pb2.TENANT_STATUS_DELETING
    for token in tokens:
        refused_within(stack, token)
    browser, address = Browser(), f"{stack.http}/tenant/undelete"
    _, page = browser.get(address)
    status, wrong = browser.post(address, page, email=ANA, password="a wrong password", totp="", tenant="")
    assert (status, "wrong" in wrong) == (401, True)
    status, back = browser.post(address, page, email=ANA, password=PASSWORD, totp="", tenant="")
    assert (status, "Corner Shop is back" in back) == (200, True)
    assert bob.call(bob.auth.GetMe, auth_pb2.GetMeRequest()).tenant == deleted.tenant


def test_the_operator_lists_tenants_and_staff_and_dismisses_staff(stack, ana, sam):
    shown = stack.json("tenant", "list")["data"]["tenants"]
    assert "Corner Shop" in {one["display_name"] for one in shown}
    assert "Platform" not in {one["display_name"] for one in shown}
    token = sam.access_token()
    assert [one["email"] for one in stack.json("platform", "list-users")["data"]["users"]] == [SAM]
    assert stack.run("platform", "remove-user", "--email", SAM).returncode == 0
    refused_within(stack, token)
    assert stack.run("platform", "remove-user", "--email", SAM).returncode != 0
    assert stack.json("platform", "list-users")["data"]["users"] == []
