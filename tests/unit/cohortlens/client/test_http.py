"""The HTTP request of a call: paths by segment rule, bodies, queries, and back through the gateway's door."""

import json
import string
from functools import cache
from urllib.parse import quote, urlencode

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from cohortlens.client import FieldMask, v1
from cohortlens.client._generated.methods import METHODS
from cohortlens.client.http import HttpRequest, NoBindingApplies, expand, request_of
from cohortlens.client.methods import Binding
from cohortlens.v1 import (
    analytics_pb2,
    audit_pb2,
    auth_pb2,
    billing_pb2,
    consent_pb2,
    customers_pb2,
    marketplace_pb2,
    models_pb2,
    rewards_pb2,
)
from gateway.http.binding import RawRequest
from gateway.http.comments import Comments
from gateway.http.routes import build_routes
from gateway.registry import MethodTable
from tests.vectors.transcoding.client_expand import sent
from tests.vectors.transcoding.door import door_for
from tests.vectors.transcoding.schema import Schema
from tests.vectors.transcoding.scripted import Scripted

SHELF = Binding("GET", "/v1/{name=shelves/*}")


@pytest.mark.parametrize(
    ("template", "value", "path"),
    [
        ("/v1/{name}", "a/b c", "/v1/a%2Fb%20c"),
        ("/v1/{name}", "ä:%2F", "/v1/%C3%A4%3A%252F"),
        ("/v1/{name}:run", "x", "/v1/x:run"),
        ("/v1/{name=a/*/b/**}", "a/x y/b/c/d", "/v1/a/x%20y/b/c/d"),
        ("/v1/{name=a/**}", "a", "/v1/a"),
        ("/v1/{name}/x", 7, "/v1/7/x"),
        ("/v1/{name}/x", True, "/v1/true/x"),
    ],
)
def test_a_value_is_written_by_the_rule_of_its_segments(template, value, path):
    assert expand([Binding("GET", template)], {"name": value}).path == path


@pytest.mark.parametrize(
    ("template", "value", "why"),
    [
        ("/v1/{name}", "", "no segment of a path"),
        ("/v1/{name}", "..", "no segment of a path"),
        ("/v1/{name}", None, "no value that a path can carry"),
        ("/v1/{name}", {"a": 1}, "no value that a path can carry"),
        ("/v1/{name=a/*}", "b/x", "does not have the form a/*"),
        ("/v1/{name=a/*}", "a/", "does not have the form a/*"),
        ("/v1/{name=a/*}", "a/x/y", "does not have the form a/*"),
        ("/v1/{name=a/**/b}", "a", "does not have the form a/**/b"),
        ("/v1/{name=a/*}", "a/x?y", "segments that a path cannot carry"),
        ("/v1/{name=a/*}", "a/..", "segments that a path cannot carry"),
    ],
)
def test_a_value_that_no_path_can_carry_is_refused_with_the_reason(template, value, why):
    with pytest.raises(NoBindingApplies, match=r"no binding applies; GET /v1.*") as refusal:
        expand([Binding("GET", template)], {"name": value})
    assert why in str(refusal.value)


def test_the_first_binding_that_applies_is_taken_and_the_others_are_named_when_none_does():
    bindings = [SHELF, Binding("GET", "/v1/{name=books/*}")]
    assert expand(bindings, {"name": "books/1"}).path == "/v1/books/1"
    with pytest.raises(NoBindingApplies, match=r"\{name=shelves/\*\}.*\{name=books/\*\}"):
        expand(bindings, {"name": "toys/1"})


def test_the_query_has_what_path_and_body_leave_in_the_order_of_the_fields():
    found = {
        "name": "shelves/1",
        "pageSize": 3,
        "deep": {"a": ["x", "y"], "b": None},
        "on": False,
        "book": {},
    }
    request = expand([Binding("POST", "/v1/{name=shelves/*}", "book")], found)
    parameters = (("pageSize", "3"), ("deep.a", "x"), ("deep.a", "y"), ("on", "false"))
    assert request == HttpRequest("POST", "/v1/shelves/1", parameters, {})
    assert request.target == "/v1/shelves/1?pageSize=3&deep.a=x&deep.a=y&on=false"


def test_a_list_of_messages_has_no_place_in_a_query():
    with pytest.raises(NoBindingApplies, match="rows is a list of messages"):
        expand([SHELF], {"name": "shelves/1", "rows": [{"a": 1}]})


def test_the_fields_that_are_given_stay_as_they_are():
    found = {"info": {"name": "x"}, "page": 1}
    expand([Binding("POST", "/v1/{info.name}", "*")], found)
    assert found == {"info": {"name": "x"}, "page": 1}


def test_a_message_of_the_api_becomes_its_first_route():
    assert request_of("CustomersService.GetCustomer", v1.GetCustomerRequest(customer="c 1")) == HttpRequest(
        "GET", "/api/v1/customers/c%201", ()
    )
    change = v1.UpdateTenantRequest(display_name="x", update_mask=FieldMask(paths=["display_name"]))
    assert request_of("AuthService.UpdateTenant", change).body == {
        "display_name": "x",
        "update_mask": "displayName",
    }


@pytest.mark.parametrize("written", ["displayName,settings", {"paths": ["display_name", "settings"]}])
def test_a_field_mask_is_read_from_its_text_in_json(written):
    change = v1.UpdateTenantRequest.from_dict({"displayName": "x", "updateMask": written})
    assert change.update_mask == FieldMask(paths=["display_name", "settings"])


def test_a_variable_of_the_path_may_be_a_default_of_its_type():
    bindings = [Binding("GET", "/v1/{info.on}")]
    assert expand(bindings, {}, {"info": {"on": False}}).path == "/v1/false"


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
ONE = TEXT.filter(lambda text: text not in (".", ".."))
MANY = st.lists(
    st.text(string.printable.replace("/", "").replace("?", ""), min_size=1, max_size=6).filter(
        lambda text: text not in (".", "..") and not {*"#[]"} & {*text}
    ),
    max_size=3,
)


@cache
def back():
    """A door with one rule, the service behind it, and the rule."""
    schema = Schema("back")
    schema.message("It", {"one": "string", "many": "string", "note": "optional string", "count": "int32"})
    template = "/v1/{one}/{many=a/**}"
    pool = schema.method("Back", "Do", "It", "It", {"get": template}).build()
    service = Scripted(pool, "back.Back")
    return door_for(pool, ["back.Back"], service), service, Binding("GET", template)


@settings(max_examples=100, deadline=None)
@given(one=ONE, many=MANY, note=st.none() | TEXT, count=st.integers(-(2**31), 2**31 - 1))
def test_what_is_written_binds_back_to_the_same_fields(one, many, note, count):
    fields = {"one": one, "many": "/".join(["a", *many]), "count": count} | ({"note": note} if note else {})
    door, service, binding = back()
    service.asked.clear()
    sent(expand([binding], fields), door)
    assert [json_format.MessageToDict(asked) for asked in service.asked] == [
        {name: value for name, value in fields.items() if value != 0}
    ]


@cache
def api():
    """The routes of the API and the comments of its protos."""
    table = MethodTable()
    modules = (
        analytics_pb2, audit_pb2, auth_pb2, billing_pb2, consent_pb2, customers_pb2, marketplace_pb2, models_pb2,
        rewards_pb2,
    )  # fmt: skip
    table.add_public_api(module.DESCRIPTOR for module in modules)
    return build_routes(table), Comments.load()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_example_of_a_request_binds_back_whatever_its_route(name):
    routes, comments = api()
    first = next(one for one in routes.routes if one.method.full_name == METHODS[name].path)
    if first.method.client_streaming:
        pytest.skip("a stream of requests has no one HTTP request")
    asked = first.method.input_class
    example = comments.of(asked.DESCRIPTOR.full_name).example
    expected = json_format.ParseDict(example, asked())
    kind = getattr(v1, request_type(asked.DESCRIPTOR.name))
    request = request_of(name, kind.parse(expected.SerializeToString()))
    found = routes.router.match(request.verb, request.path)
    assert found is not None
    assert found.target is first
    query = urlencode(request.query, quote_via=quote)
    body = (
        request.body
        if request.body is None or isinstance(request.body, bytes)
        else json.dumps(request.body).encode()
    )
    raw = RawRequest(found.values, query, body, request.content_type if body is not None else "")
    assert found.target.binding.decode(raw) == expected


def request_type(name):
    """The name of a message in Python: ``OAuth`` loses its inner capital."""
    return next(one for one in v1.__dict__ if one.lower() == name.lower())
