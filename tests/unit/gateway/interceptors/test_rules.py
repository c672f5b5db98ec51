"""Validators made of field options: what is refused, under which path, and how much is told."""

import math
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import DoubleValue

from cohortlens.core.errors import InvalidArgument
from cohortlens.v1 import analytics_pb2
from gateway.interceptors.rules import ValidatorCompiler
from tests.fakes.echo import Echo, Row, Strict

GOOD_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def check(message):
    ValidatorCompiler().validator(message.DESCRIPTOR).check(message)


def violations(message):
    with pytest.raises(InvalidArgument) as caught:
        check(message)
    return caught.value


def fields(message):
    return [one.field for one in violations(message).violations]


@pytest.mark.parametrize(
    "message",
    [
        Echo(),
        Echo(count=1000),
        Echo(count=-5),
        Echo(code="abc", id=GOOD_ID, names=["a", "b"], color=1),
        Echo(names=[]),
        Echo(rows=[Row(values=[math.nan, 1.0], share=1.0)]),
        Echo(when=Timestamp(seconds=253402300799, nanos=999_999_999)),
        Echo(values=[1.7e308, 1.7e308]),
        Strict(name="ab", color=1, row=Row(), items=[0]),
    ],
)
def test_a_message_that_keeps_its_rules_passes(message):
    check(message)


@pytest.mark.parametrize(
    ("message", "field", "said"),
    [
        (Echo(count=1001), "count", "at most 1000"),
        (Echo(rows=[Row(), Row(share=-0.1)]), "rows[1].share", "at least 0"),
        (Echo(rows=[Row(rows=[Row(share=2)])]), "rows[0].rows[0].share", "at most 1"),
        (Echo(rows=[Row(values=[0] * 6)]), "rows[0].values", "at most 5 items"),
        (Echo(code="abcd"), "code", "at most 3 characters"),
        (Echo(code="ab1"), "code", "[a-z]{3}"),
        (Echo(code="abc\n"), "code", "at most 3"),
        (Echo(id=GOOD_ID.upper()), "id", "UUID"),
        (Echo(id=GOOD_ID.replace("-", "")), "id", "UUID"),
        (Echo(names=["a"]), "names", "at least 2 items"),
        (Echo(names=["a"] * 61), "names", "at most 60 items"),
        (Echo(names=["a", "b\0"]), "names[1]", "NUL"),
        (Echo(text="a\0b"), "text", "NUL"),
        (Echo(color=9), "color", "must be one of"),
        (Echo(when=Timestamp(seconds=253402300800)), "when", "years 1 to 9999"),
        (Echo(when=Timestamp(nanos=-1)), "when", "years 1 to 9999"),
        (Echo(ttl=Duration(seconds=315_576_000_001)), "ttl", "10,000 years"),
        (Echo(ttl=Duration(seconds=1, nanos=-1)), "ttl", "10,000 years"),
        (Echo(ttl=Duration(nanos=1_000_000_000)), "ttl", "10,000 years"),
        (Echo(weights=dict.fromkeys("abcd", 1.0)), "weights", "at most 3 entries"),
        (Echo(weights={"a\0": 1.0}), "weights['a\\x00']", "NUL"),
        (Echo(named_rows={"a": Row(share=2)}), "named_rows['a'].share", "at most 1"),
        (Strict(color=1, row=Row(), items=[1]), "name", "required"),
        (Strict(name="a", color=1, row=Row(), items=[1]), "name", "at least 2 characters"),
        (Strict(name="ab", row=Row(), items=[1]), "color", "required"),
        (Strict(name="ab", color=1, items=[1]), "row", "required"),
        (Strict(name="ab", color=1, row=Row()), "items", "required"),
    ],
)
def test_a_broken_rule_is_named_by_path_and_expectation(message, field, said):
    fault = violations(message)
    assert fault.reason == "FIELD_INVALID"
    assert [one.field for one in fault.violations] == [field]
    assert said in fault.violations[0].description


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused_where_it_stands(value):
    fault = violations(Echo(values=[1.0, 2.0, value, 3.0, value]))
    assert fault.reason == "VALUE_NOT_FINITE"
    assert [one.field for one in fault.violations] == ["values[2]", "values[4]"]


def test_numbers_in_maps_and_wrappers_are_finite_too():
    assert fields(Echo(weights={"a": 1.0, "b": math.nan})) == ["weights['b']"]
    assert fields(Echo(ratio=DoubleValue(value=math.inf))) == ["ratio"]
    check(Echo(weights={"a": 1.0}, ratio=DoubleValue(value=0.5), ttl=Duration(seconds=-1, nanos=-5)))


def test_infinities_that_cancel_out_are_found():
    assert fields(Echo(values=[math.inf, -math.inf])) == ["values[0]", "values[1]"]


def test_a_field_that_allows_nan_still_refuses_infinity():
    fault = violations(Echo(rows=[Row(values=[math.nan, math.inf])]))
    assert fault.reason == "VALUE_NOT_FINITE"
    assert [one.field for one in fault.violations] == ["rows[0].values[1]"]


def test_a_range_is_not_slipped_through_by_nan():
    assert fields(Echo(rows=[Row(share=math.nan)])) == ["rows[0].share"]


def test_every_broken_field_is_named_once():
    fault = violations(Echo(count=1001, code="ABCD", id="x", values=[math.nan]))
    assert [one.field for one in fault.violations] == ["count", "values[0]", "code", "id"]
    assert fault.reason == "FIELD_INVALID"
    assert fault.message.startswith("4 fields are invalid")


def test_at_most_fifty_violations_are_gathered():
    assert len(violations(Echo(values=[math.nan] * 100_000)).violations) == 50
    rows = [Row(share=2)] * 49 + [Row(values=[math.inf] * 5)]
    assert len(violations(Echo(rows=rows)).violations) == 50


def test_the_value_itself_is_never_told():
    secret = f"hunter2-{uuid4()}"
    fault = violations(analytics_pb2.PredictRequest(task=1, schema_hash=secret))
    assert secret not in repr(fault.violations) + fault.message


def test_the_public_contract_is_enforced_as_declared():
    vectors = [analytics_pb2.FeatureVector(values=[1.0]) for _ in range(4)]
    vectors[3].values.append(math.inf)
    request = analytics_pb2.PredictRequest(vectors=vectors, horizon_days=4000, schema_hash="XYZ")
    assert fields(request) == ["task", "vectors[3].values[1]", "horizon_days", "schema_hash"]
