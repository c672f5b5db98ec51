"""Vectors read in bulk are the vectors protobuf reads, and so are the failures."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from cohortlens.core.errors import InvalidArgument
from cohortlens.v1 import analytics_pb2 as pb
from gateway.interceptors.rules import ValidatorCompiler
from gateway.wire.vectors import VectorReader, VectorRequest, has_vectors

TYPES = (pb.PredictRequest, pb.SegmentRequest, pb.ExplainRequest)
COMPILER = ValidatorCompiler()
CHECKS = {kind: COMPILER.validator(kind.DESCRIPTOR).check for kind in TYPES}
READERS = {kind: VectorReader(kind.DESCRIPTOR) for kind in TYPES}

numbers = st.floats(width=64) | st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1e300, 5e-324])


@st.composite
def requests(draw):
    kind = draw(st.sampled_from(TYPES))
    message = kind(schema_hash=draw(st.sampled_from(["", "a" * 64, "zz"])))
    if kind is not pb.SegmentRequest:
        message.task = draw(st.integers(0, 3))
        message.horizon_days = draw(st.sampled_from([0, 1, 90, -1, 5000]))
    message.customers.extend(draw(st.lists(st.text(max_size=3), max_size=2)))
    width = draw(st.integers(0, 5) | st.sampled_from([16, 36, 256, 257]))
    for _ in range(draw(st.integers(0, 6) | st.sampled_from([100, 101]))):
        odd = draw(st.integers(0, 19)) == 0
        size = draw(st.integers(0, 5)) if odd else width
        values = draw(st.lists(numbers, min_size=size, max_size=size)) if size <= 5 else [1.5] * size
        message.vectors.add(values=values)
    return message


def by_protobuf(kind, data):
    """What the ordinary way makes of the bytes: a message, or the failure."""
    try:
        message = kind.FromString(data)
        CHECKS[kind](message)
    except DecodeError:
        return "MESSAGE_MALFORMED"
    except InvalidArgument as fault:
        return fault.reason, fault.message, fault.violations
    return message.SerializeToString(deterministic=True)


def in_bulk(kind, payload, decode):
    """The same through the reader, its rows put back into the message."""
    try:
        found = READERS[kind](payload, decode, CHECKS[kind])
    except DecodeError:
        return "MESSAGE_MALFORMED"
    except InvalidArgument as fault:
        return fault.reason, fault.message, fault.violations
    if not isinstance(found, VectorRequest):
        return found.SerializeToString(deterministic=True)
    assert not found.message.vectors
    for row in found.vectors.tolist():
        found.message.vectors.add(values=row)
    return found.message.SerializeToString(deterministic=True)


@given(requests())
@settings(max_examples=150, deadline=None)
def test_a_message_is_read_as_protobuf_reads_it(message):
    kind, data = type(message), message.SerializeToString()
    assert in_bulk(kind, data, kind.FromString) == by_protobuf(kind, data)
    # The JSON door hands over what it decodes itself.
    assert in_bulk(kind, object(), lambda _: kind.FromString(data)) == by_protobuf(kind, data)


@given(requests(), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4), st.data())
@settings(max_examples=250, deadline=None)
def test_corrupted_bytes_are_read_or_refused_as_protobuf_does(message, changes, data):
    raw = bytearray(message.SerializeToString())
    for at, value in changes:
        if raw:
            raw[at % len(raw)] = value
    cut = data.draw(st.integers(0, len(raw)))
    kind = data.draw(st.sampled_from(TYPES))
    for spoiled in (bytes(raw), bytes(raw[:cut]), bytes(raw[cut:]), bytes(raw[cut:] + raw[:cut])):
        assert in_bulk(kind, spoiled, kind.FromString) == by_protobuf(kind, spoiled)


@given(st.lists(st.sampled_from(TYPES).flatmap(lambda _: requests()), min_size=2, max_size=3))
@settings(max_examples=60, deadline=None)
def test_concatenated_messages_merge_as_protobuf_merges_them(messages):
    kind, data = type(messages[0]), b"".join(one.SerializeToString() for one in messages)
    assert in_bulk(kind, data, kind.FromString) == by_protobuf(kind, data)


def wide(rows, columns=36):
    return np.random.default_rng(rows).normal(size=(rows, columns))


@pytest.mark.parametrize("rows", [1, 2, 999, 1000])
def test_equal_rows_are_read_in_bulk(rows):
    matrix = wide(rows)
    matrix[0, 3] = math.nan
    message = pb.PredictRequest(task=2, horizon_days=30, schema_hash="a" * 64)
    message.vectors.extend(pb.FeatureVector(values=row) for row in matrix)
    found = READERS[pb.PredictRequest](
        message.SerializeToString(), pb.PredictRequest.FromString, CHECKS[pb.PredictRequest]
    )
    assert isinstance(found, VectorRequest)
    assert np.array_equal(found.vectors, matrix, equal_nan=True)
    assert (found.message.task, found.message.horizon_days, found.message.schema_hash) == (2, 30, "a" * 64)


def packed(values):
    return b"\x0a" + bytes([8 * len(values)]) + struct.pack(f"<{len(values)}d", *values)


@pytest.mark.parametrize(
    "data",
    [
        b"\x1a\x12" + b"\x09" + bytes(8) + b"\x09" + bytes(8),  # not packed
        b"\x1a\x14" + packed([1.0]) + packed([2.0]),  # packed in two pieces
        b"\x1a\x8a\x00" + packed([1.0]),  # a length with a needless byte
        b"\x1a\x0c" + packed([1.0]) + b"\x10\x07",  # an unknown field in the vector
        b"\x1a\x0a" + packed([1.0]) + b"\x20\x05" + b"\x1a\x0a" + packed([2.0]),  # a field between two rows
        b"\x1b\x1c" + b"\x1a\x0a" + packed([1.0]),  # a group before
        b"\x1a\x0a" + packed([1.0]) + b"\x1a\x12" + packed([1.0, 2.0]),  # rows of two lengths
    ],
)
def test_uncommon_spellings_give_the_same_message(data):
    data = b"\x08\x02" + data
    assert in_bulk(pb.PredictRequest, data, pb.PredictRequest.FromString) == by_protobuf(
        pb.PredictRequest, data
    )


def test_more_rows_than_allowed_are_refused_with_the_field():
    message = pb.ExplainRequest(task=2, vectors=[pb.FeatureVector(values=row) for row in wide(101)])
    with pytest.raises(InvalidArgument) as refused:
        READERS[pb.ExplainRequest](
            message.SerializeToString(), pb.ExplainRequest.FromString, CHECKS[pb.ExplainRequest]
        )
    assert [one.field for one in refused.value.violations] == ["vectors"]


def test_types_without_vectors_have_no_reader():
    assert all(has_vectors(kind.DESCRIPTOR) for kind in TYPES)
    assert not has_vectors(pb.GetPredictionRequest.DESCRIPTOR)
    with pytest.raises(ValueError, match="0 lists"):
        VectorReader(pb.GetPredictionRequest.DESCRIPTOR)
