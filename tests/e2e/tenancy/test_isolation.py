"""Two tenants: whatever one owns, the other is answered byte for byte as if it did not exist, at every door."""

from __future__ import annotations

import json
import re
from uuid import UUID

import grpc
import pytest
from google.protobuf import message_factory

from cohortlens.core.ids import uuid7
from cohortlens.v1 import consent_notices_pb2, marketplace_offers_pb2
from tests.e2e.conftest import PASSWORD
from tests.e2e.tenancy import belongings, matrix
from tests.e2e.tenancy.doors import over_connect, over_graphql, over_grpc, over_http

OF_THE_DEMO = {"prediction", "batch", "drift_report", "training", "segmentation"}
"""Kinds that need a model, which only the demo tenant has."""
NAMING_ONE = (
    "Add",
    "BatchRecord",
    "Cancel",
    "Delete",
    "Download",
    "Explain",
    "Get",
    "Predict",
    "Preview",
    "Publish",
    "RequestAccess",
    "Revoke",
    "Rotate",
    "Segment",
    "Update",
    "Withdraw",
)
"""Methods that work on the one thing a request names; where it is not there, they say so."""
HEIR = ("transfer_to",)
"""Asked for only once it is sure that the user may go, which the last owner may not."""
ONE_PAGE = {
    "ListAccessEntries",
    "ListAccessRequests",
    "ListAliasHistory",
    "ListBillingEvents",
    "ListInvoices",
    "ListModelVersions",
    "ListQueries",
    "ListTenants",
    "ListTrainingRuns",
    "ListUsage",
    "ListUsers",
}
"""Lists of one row, not for tenants, or stored a little later; those of the market need a hundred contributors."""
_ATTRIBUTES = {"marketplace": "market", "reward": "rewards"}
UNITS_LEFT = re.compile(r"r=\d+;t=\d+")
CASES = matrix.cases()


class Tenant:
    """A client with what it owns."""

    def __init__(self, client, email, password, owned):
        self.client, self.email, self.password, self.owned = client, email, password, owned


@pytest.fixture(scope="module")
def demo_tenant(stack, demo):
    account = json.loads((stack.data_dir / "credentials.json").read_text())["tenants"][0]
    owned = belongings.of_any_tenant(demo, "demo") | belongings.of_the_demo(demo)
    return Tenant(demo, account["email"], account["password"], owned)


@pytest.fixture(scope="module")
def corner_shop(stack):
    email = "owner@isolation.example"
    with stack.new_tenant(email) as client:
        owned = belongings.of_any_tenant(client, "corner") | belongings.with_purchases(client)
        yield Tenant(client, email, PASSWORD, owned)


@pytest.fixture(scope="module")
def channel(stack):
    with grpc.insecure_channel(stack.grpc) as channel:
        yield channel


def rpc_of(client, method):
    """A method of a client; mostly an attribute is named like its service."""
    service = method.containing_service.name.removesuffix("Service").lower()
    return getattr(getattr(client, _ATTRIBUTES.get(service, service)), method.name)


def page_token(case, owner):
    """The token of the second page of the owner's own list; empty when it has one page."""
    request = case.request("", owner.owned, owner.email, owner.password)
    request.page_size = 1
    rpc = rpc_of(owner.client, case.method)
    return owner.client.call(rpc, request).next_page_token


def foreign_and_missing(case, owner):
    """What names something of ``owner``, and what names nothing, of one length."""
    if case.kind == "page_token":
        if case.method.name in ONE_PAGE:  # any other token
            lists = next(one for one in CASES if one.method.name == "ListApiKeys")
            token = page_token(lists, owner)
        else:
            token = page_token(case, owner)
        assert token, f"{case}: the owner's list has one page"
        return token, token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8)
    if case.kind == "filter":
        return (f'resource = "users/{one}"' for one in (owner.owned["user"], uuid7()))
    foreign = owner.owned[case.kind]
    if case.kind == "reward":
        return foreign, "0" * len(foreign)
    try:
        UUID(foreign)
    except ValueError:
        return foreign, "z" * len(foreign)
    return foreign, str(uuid7())


def visible(value, identifier):
    """An answer with the identifier that the caller itself sent taken out, and what is left of its rate limit."""
    return UNITS_LEFT.sub("r=;t=", repr(value).replace(identifier, "IDENTIFIER"))


def at_home(case, demo_tenant, corner_shop):
    """Who owns what the case names."""
    if case.kind in OF_THE_DEMO or (case.kind == "page_token" and page_of_demo(case)):
        return demo_tenant, corner_shop
    return corner_shop, demo_tenant


def page_of_demo(case):
    return case.method.containing_service.name == "AnalyticsService"


def doors_of(method):
    """The doors that have a method: GraphQL has no uploads, and Connect is asked for what does not stream."""
    yield from (over_grpc, over_http)
    if not method.client_streaming:
        yield over_graphql
        if not method.server_streaming:
            yield over_connect


def test_every_text_of_every_request_is_known_to_name_something_or_nothing():
    assert not matrix.unnamed_texts()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_another_tenant_owns_answers_like_what_does_not_exist(
    case, stack, channel, demo_tenant, corner_shop
):
    owner, other = at_home(case, demo_tenant, corner_shop)
    foreign, missing = foreign_and_missing(case, owner)
    for door in doors_of(case.method):
        if "email" in case.method.input_type.fields_by_name:
            # Attempts to log in are counted: a caller of its own for each door.
            email = f"{case.method.name.lower()}-{door.__name__}@isolation.example"
            other = Tenant(stack.new_tenant(email, "basic"), email, PASSWORD, {})
        token = other.client.access_token()
        where = channel if door is over_grpc else stack.http.removeprefix("http://")
        answers = [
            visible(
                door(where, case.method, case.request(one, other.owned, other.email, other.password), token),
                one,
            )
            for one in (foreign, missing)
        ]
        assert answers[0] == answers[1], door.__name__
        # What the schema refuses says nothing of the row.
        assert "GRAPHQL_" not in answers[0]
        if case.method.name.startswith(NAMING_ONE) and case.kind != "tenant" and case.path != HEIR:
            assert "NOT_FOUND" in answers[0]


def test_nothing_of_the_owner_was_changed_by_all_that(demo_tenant, corner_shop):
    for tenant in (demo_tenant, corner_shop):
        again = belongings.a_customer(tenant.client)
        assert again == tenant.owned["customer"]
        for case in CASES:
            if case.method.name.startswith("Get") and case.kind in tenant.owned and case.kind != "filter":
                rpc = rpc_of(tenant.client, case.method)
                tenant.client.call(
                    rpc, case.request(tenant.owned[case.kind], tenant.owned, tenant.email, tenant.password)
                )


def test_a_notice_is_public_and_tells_nothing_else_of_its_tenant(demo_tenant, corner_shop):
    request = consent_notices_pb2.GetNoticeRequest(notice=corner_shop.owned["notice"])
    shown = demo_tenant.client.public(demo_tenant.client.consent.GetNotice, request)
    assert shown.notice.notice == corner_shop.owned["notice"]
    told = {kind for kind, one in corner_shop.owned.items() if kind != "notice" and one in str(shown)}
    assert not told


def check_offers(client, owners):
    """A list of offers: of others only what they published, of oneself nothing."""
    own = marketplace_offers_pb2.ListOffersRequest(is_own=True)
    assert not client.call(client.market.ListOffers, own).offers
    listed = client.call(client.market.ListOffers, marketplace_offers_pb2.ListOffersRequest(page_size=1000))
    for offer in listed.offers:
        assert offer.state == marketplace_offers_pb2.OFFER_STATE_PUBLISHED
        assert (offer.is_own, offer.etag) == (False, "")
    for owner in owners:
        assert owner.owned["offer"] not in str(listed), "a draft"
        assert owner.owned["tenant"] not in str(listed)


def test_lists_of_a_new_tenant_hold_nothing_of_others(stack, demo_tenant, corner_shop):
    with stack.new_tenant("owner@empty.example") as client:
        for method in matrix.methods():
            fields = method.input_type.fields_by_name
            if not method.name.startswith("List") or "page_token" not in fields:
                continue
            rows = [one.name for one in method.output_type.fields if one.is_repeated]
            if any(path != ("page_token",) and kind != "filter" for path, kind in matrix.identifiers(method)):
                continue  # a list under something: the matrix has it
            if method.name == "ListOffers":
                check_offers(client, (demo_tenant, corner_shop))
                continue
            if matrix.is_required(method, "agreement"):
                continue  # a list under an agreement: tests/integration/marketplace
            if method.name in {
                "ListUsers",
                "ListSessions",
                "ListTenants",
                "ListAuditEvents",
                "ListBillingEvents",
                "ListUsage",
            }:
                continue  # the owner itself is in it, or it is not for tenants
            request = message_factory.GetMessageClass(method.input_type)()
            if "model" in fields:
                request.model = "prediction"
            reply = client.call(rpc_of(client, method), request)
            assert not any(len(getattr(reply, row)) for row in rows), method.name
