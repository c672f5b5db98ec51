"""The compiled codecs: against json_format on random messages, and where they must be stricter than it."""

from __future__ import annotations

import json
import math

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from cohortlens.v1 import analytics_pb2, customers_pb2, models_pb2
from gateway.http.codec import Codecs
from gateway.http.scalars import JsonFault
from tests.unit.gateway.http.support import Schema, message_class

SCALARS = (
    "double float int32 int64 uint32 uint64 sint32 sint64 fixed32 fixed64 sfixed32 sfixed64 bool string bytes"
)


def _pool():
    fields = {}
    for kind in SCALARS.split():
        fields |= {
            f"one_{kind}": kind,
            f"maybe_{kind}": f"optional {kind}",
            f"many_{kind}": f"repeated {kind}",
        }
    fields |= {
        "child": "All",
        "children": "repeated All",
        "by_name": "map<string,All>",
        "by_number": "map<int64,double>",
        "by_flag": "map<bool,string>",
        "color": "Color",
        "colors": "repeated Color",
        "time": "google.protobuf.Timestamp",
        "wait": "google.protobuf.Duration",
        "mask": "google.protobuf.FieldMask",
        "wide": "google.protobuf.Int64Value",
        "free": "google.protobuf.Struct",
        "any": "google.protobuf.Any",
        "left": "oneof side int32",
        "right": "oneof side string",
    }
    return Schema("all").enum("Color", {"NONE": 0, "RED": 1, "GREEN": 2}).message("All", fields).build()


POOL = _pool()
ALL = message_class(POOL, "all.All")
CODECS = Codecs(POOL)

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_values = {
    # JSON has one NaN, so its sign bit is not part of the value.
    "double": st.floats().map(lambda number: math.nan if math.isnan(number) else number),
    "float": st.floats(width=32).map(lambda number: math.nan if math.isnan(number) else number),
    "bool": st.booleans(),
    "string": _texts,
    "bytes": st.binary(max_size=8),
}
for _kind in SCALARS.split():
    if _kind not in _values:
        _bits = 32 if _kind.endswith("32") else 64
        _unsigned = _kind.startswith(("u", "fixed"))
        _low, _high = (0, 2**_bits - 1) if _unsigned else (-(2 ** (_bits - 1)), 2 ** (_bits - 1) - 1)
        _values[_kind] = st.integers(_low, _high)


@st.composite
def messages(draw, depth=2):
    message = ALL()
    for kind in draw(st.sets(st.sampled_from(SCALARS.split()), max_size=5)):
        setattr(message, f"one_{kind}", draw(_values[kind]))
        setattr(message, f"maybe_{kind}", draw(_values[kind]))
        getattr(message, f"many_{kind}").extend(draw(st.lists(_values[kind], max_size=3)))
    if depth and draw(st.booleans()):
        message.child.CopyFrom(draw(messages(depth=depth - 1)))
        message.children.add().CopyFrom(draw(messages(depth=depth - 1)))
        message.by_name[draw(_texts)].CopyFrom(draw(messages(depth=depth - 1)))
    message.by_number.update(draw(st.dictionaries(_values["int64"], _values["double"], max_size=2)))
    message.by_flag.update(draw(st.dictionaries(st.booleans(), _texts, max_size=2)))
    message.colors.extend(draw(st.lists(st.sampled_from([0, 1, 2, 77]), max_size=3)))
    if draw(st.booleans()):
        message.time.seconds = draw(st.integers(-62_135_596_800, 253_402_300_799))
        message.time.nanos = draw(st.integers(0, 999_999_999))
        message.wait.seconds = draw(st.integers(0, 315_576_000_000))
        message.wait.nanos = draw(st.integers(0, 999_999_999))
        message.mask.paths.extend(["a_b", "c.d_e"])
        message.wide.value = draw(_values["int64"])
        message.right = draw(_texts)
    return message


def _wire(message):
    return message.SerializeToString(deterministic=True)


@settings(max_examples=60, deadline=None)
@given(messages())
def test_what_we_print_json_format_reads_and_the_other_way_round(message):
    ours = CODECS.print(message)
    read = json_format.Parse(ours, ALL(), descriptor_pool=POOL)
    assert _wire(read) == _wire(message)
    theirs = json_format.MessageToJson(message, descriptor_pool=POOL).encode()
    again = ALL()
    CODECS.parse(again, theirs)
    assert _wire(again) == _wire(message)


def test_unset_scalars_and_lists_are_present_and_unset_messages_absent():
    printed = json.loads(CODECS.print(ALL()))
    assert (printed["oneInt64"], printed["oneDouble"], printed["color"]) == ("0", 0, "NONE")
    assert (printed["manyInt32"], printed["byName"]) == ([], {})
    assert not {"child", "time", "maybeString", "left", "wide"} & set(printed)
    assert json.loads(CODECS.print(ALL(left=0)))["left"] == 0


def test_not_a_number_is_a_text_wherever_it_stands():
    vector = analytics_pb2.FeatureVector(values=[1.5, math.nan, math.inf, -math.inf])
    text = Codecs().print(vector)
    assert json.loads(text) == {"values": [1.5, "NaN", "Infinity", "-Infinity"]}
    again = analytics_pb2.FeatureVector()
    Codecs().parse(again, text)
    assert str(again) == str(vector)
    version = models_pb2.ModelVersion(metrics={"rmse": math.nan})
    assert json.loads(Codecs().print(version))["metrics"] == {"rmse": "NaN"}


def test_counts_are_texts_and_times_are_rfc_3339():
    one = customers_pb2.Import(rows=customers_pb2.ImportRows(read=2**53 + 1))
    one.create_time.FromJsonString("1997-01-01T00:00:00.5Z")
    printed = json.loads(Codecs().print(one))
    assert printed["rows"]["read"] == "9007199254740993"
    assert printed["createTime"] == "1997-01-01T00:00:00.500Z"
    assert "endTime" not in printed


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"oneInt64": 9007199254740993.0}', "one_int64"),
        ('{"oneInt64": 1e999999999}', "one_int64"),
        ('{"oneInt64": "1e999999999"}', "one_int64"),
        ('{"oneInt64": "+1"}', "one_int64"),
        ('{"oneInt64": "٣"}', "one_int64"),
        ('{"oneUint64": -1}', "one_uint64"),
        ('{"oneInt32": 2147483648}', "one_int32"),
        ('{"oneFloat": 3.5e38}', "one_float"),
        ('{"oneFloat": true}', "one_float"),
        ('{"oneDouble": "nan"}', "one_double"),
        ('{"oneDouble": ""}', "one_double"),
        ('{"manyDouble": [1, true]}', "many_double[1]"),
        ('{"manyDouble": [1, null]}', "many_double[1]"),
        ('{"manyDouble": [1' + "0" * 400 + "]}", "many_double[0]"),
        ('{"oneBool": "true"}', "one_bool"),
        ('{"oneBool": 1}', "one_bool"),
        ('{"oneString": 1}', "one_string"),
        ('{"oneBytes": "a"}', "one_bytes"),
        ('{"oneBytes": "YQ="}', "one_bytes"),
        ('{"oneBytes": "Y Q"}', "one_bytes"),
        ('{"color": true}', "color"),
        ('{"color": "red"}', "color"),
        ('{"color": "1"}', "color"),
        ('{"child": []}', "child"),
        ('{"children": {}}', "children"),
        ('{"children": [{}, {"oneInt32": "x"}]}', "children[1].one_int32"),
        ('{"byName": {"k": {"oneInt32": "x"}}}', "by_name['k'].one_int32"),
        ('{"byNumber": {"01": 1}}', "by_number['01']"),
        ('{"byNumber": {"1": 1, "1.0": 1}}', "by_number['1.0']"),
        ('{"byFlag": {"True": "x"}}', "by_flag['True']"),
        ('{"left": 1, "right": "x"}', "right"),
        ('{"time": "2026-11-01T09:00:00+24:00"}', "time"),
        ('{"time": "2026-11-01T09:00:00+00:60"}', "time"),
        ('{"time": "2026-1-01T09:00:00Z"}', "time"),
        ('{"time": "2026-11-01T09:00:60Z"}', "time"),
        ('{"time": "2026-11-01t09:00:00z"}', "time"),
        ('{"wait": "1.5"}', "wait"),
        ('{"wait": "1m"}', "wait"),
        ('{"mask": "a_b"}', "mask"),
        ('{"any": {"@type": "type.googleapis.com/all.Nothing"}}', "any"),
        ('{"any": {"value": 1}}', "any"),
        ('{"any": {"@type": "type.googleapis.com/all.All", "oneInt32": "x"}}', "any.one_int32"),
        ('{"free": {"a": ["\\udc00"]}}', "free['a'][0]"),
    ],
)
def test_a_value_that_does_not_fit_names_its_field(body, field):
    with pytest.raises(JsonFault) as caught:
        CODECS.parse(ALL(), body.encode())
    assert caught.value.field == field


def test_an_any_inside_an_any_is_read_by_its_own_codec():
    text = {
        "any": {
            "@type": "type.googleapis.com/all.All",
            "any": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1.500s"},
        }
    }
    message = ALL()
    CODECS.parse(message, json.dumps(text).encode())
    assert json.loads(CODECS.print(message))["any"]["any"] == text["any"]["any"]


def test_json_that_has_no_limit_in_depth_by_message_has_one_by_nesting():
    deep = "1"
    for _ in range(100):
        deep = f"[{deep}]"
    with pytest.raises(JsonFault) as caught:
        Codecs().parse(struct_pb2.Value(), f"[{deep}]".encode())
    assert caught.value.reason == "MALFORMED_JSON"
    Codecs().parse(struct_pb2.Value(), deep.encode())


def test_lenient_codecs_drop_unknown_fields_and_enum_names_only():
    message, lenient = ALL(), Codecs(POOL, lenient=True)
    lenient.parse(
        message, b'{"nothing": {"x": 1}, "color": "BLUE", "colors": ["RED", "BLUE"], "oneInt32": 3}'
    )
    assert message == ALL(colors=[1], one_int32=3)
    with pytest.raises(JsonFault):
        lenient.parse(ALL(), b'{"oneInt32": "x"}')
