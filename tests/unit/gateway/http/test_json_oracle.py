"""Every message of the public API, filled at random, reads and writes as the reference of the mapping does."""

from __future__ import annotations

import random

import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor

from cohortlens.v1 import analytics_pb2
from gateway.composition import public_table
from gateway.http import scalars
from gateway.http.codec import Codecs, is_map, is_repeated
from tests.fixtures import json_oracle

SPECIAL = {
    "google.protobuf.Timestamp": lambda chance: {
        "seconds": chance.randrange(-62_135_596_800, 253_402_300_800),
        "nanos": chance.choice([0, 5 * 10**8, chance.randrange(10**9)]),
    },
    "google.protobuf.Duration": lambda chance: {
        "seconds": chance.randrange(315_576_000_000),
        "nanos": chance.choice([0, 10**6, chance.randrange(10**9)]),
    },
    "google.protobuf.FieldMask": lambda chance: {
        "paths": chance.sample(["a", "b_c", "d.e_f_g"], chance.randrange(4))
    },
}
INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
FLOATS = [0.0, -0.0, 0.1, 1e-7, 123456789.123, -1e300, float("inf"), float("-inf"), float("nan"), 5e-324]


def scalar(chance, field):
    if field.cpp_type in INTEGERS:
        low, high = INTEGERS[field.cpp_type]
        return chance.choice([low, high, 0, 1, chance.randint(low, high)])
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return chance.choice([value.number for value in field.enum_type.values])
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if field.type == FieldDescriptor.TYPE_BYTES:
        return chance.randbytes(chance.randrange(5))
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return "".join(chance.choices('aZ "\\/\n\u2028ñ\U0001f600:{', k=chance.randrange(6)))
    return chance.choice(FLOATS)


def filled(chance, message, depth=3):
    """Fill some fields of a message, at most ``depth`` messages deep."""
    special = SPECIAL.get(message.DESCRIPTOR.full_name)
    if special is not None:
        for name, value in special(chance).items():
            if name == "paths":
                message.paths.extend(value)
            else:
                setattr(message, name, value)
    elif message.DESCRIPTOR.file.package != "google.protobuf":
        for field in message.DESCRIPTOR.fields:
            if chance.random() < 0.7:
                fill_one(chance, message, field, depth)
    return message


def fill_one(chance, message, field, depth):
    if is_map(field):
        fill_map(chance, getattr(message, field.name), field.message_type.fields_by_name, depth)
    elif field.message_type is None and is_repeated(field):
        getattr(message, field.name).extend(scalar(chance, field) for _ in range(chance.randrange(4)))
    elif field.message_type is None:
        setattr(message, field.name, scalar(chance, field))
    elif depth and is_repeated(field):
        filled(chance, getattr(message, field.name).add(), depth - 1)
    elif depth:
        getattr(message, field.name).SetInParent()
        filled(chance, getattr(message, field.name), depth - 1)


def fill_map(chance, entries, entry, depth):
    key, value = scalar(chance, entry["key"]), entry["value"]
    if value.message_type is None:
        entries[key] = scalar(chance, value)
    elif depth:
        filled(chance, entries[key], depth - 1)


def test_every_public_message_reads_and_writes_as_the_reference_does(monkeypatch):
    chance, codecs = random.Random(3), Codecs()
    kinds = {
        kind.full_name: kind
        for method in public_table(with_reflection=False)
        for kind in (method.descriptor.input_type, method.descriptor.output_type)
    }
    assert len(kinds) > 200
    with json_oracle.beside(monkeypatch) as oracle:
        for name, kind in sorted(kinds.items()):
            message = filled(chance, message_factory.GetMessageClass(kind)())
            again = type(message)()
            codecs.parse(again, codecs.print(message))
            assert again.SerializeToString(deterministic=True) == message.SerializeToString(
                deterministic=True
            ), name
            theirs = json_format.MessageToJson(message, descriptor_pool=descriptor_pool.Default()).encode()
            codecs.parse(type(message)(), theirs)
    assert oracle.written >= len(kinds)
    assert oracle.read >= 2 * len(kinds)


@pytest.mark.parametrize(
    ("table", "use"),
    [
        ("CONVERTERS", lambda codecs: codecs.parse(analytics_pb2.PredictRequest(), b'{"horizonDays":3}')),
        ("_PRINTERS", lambda codecs: codecs.print(analytics_pb2.PredictRequest(horizon_days=3))),
    ],
)
def test_a_codec_that_is_wrong_is_found(table, use, monkeypatch):
    converters = getattr(scalars, table)
    right = converters.get(FieldDescriptor.TYPE_INT32, int)
    monkeypatch.setitem(converters, FieldDescriptor.TYPE_INT32, lambda value: right(value) + 1)
    with json_oracle.beside(monkeypatch), pytest.raises(AssertionError, match="horizon_days"):
        use(Codecs())
