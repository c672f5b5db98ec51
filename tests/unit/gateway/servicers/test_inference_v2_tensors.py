"""Tensors of the Open Inference Protocol: what is read is what was sent, and every fault names its field."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cohortlens.contracts.features import SCHEMA
from cohortlens.core.errors import InvalidArgument, Unimplemented
from cohortlens.oip import inference_pb2 as pb
from gateway.servicers.inference_v2_models import OUTPUTS
from gateway.servicers.inference_v2_tensors import (
    MAX_ROWS,
    TensorInvalid,
    read_rows,
    wanted_outputs,
    write_outputs,
)
from tests.fakes.oip import COLUMNS, rows_of

_WIRE = {"FP32": ("<f4", "fp32_contents"), "FP64": ("<f8", "fp64_contents")}


def request_of(matrix, datatype="FP32", *, raw=True, by_column=False):
    """A request with the rows of ``matrix`` in one of the forms of the protocol."""
    dtype, typed = _WIRE[datatype]
    request = pb.ModelInferRequest()
    parts = (
        [(name, matrix[:, [at]]) for at, name in enumerate(SCHEMA.names)]
        if by_column
        else [("features", matrix)]
    )
    for name, part in parts:
        tensor = request.inputs.add(name=name, datatype=datatype, shape=part.shape)
        if raw:
            request.raw_input_contents.append(part.astype(dtype).tobytes())
        else:
            getattr(tensor.contents, typed).extend(part.ravel().tolist())
    return request


def fault_of(request):
    with pytest.raises(TensorInvalid) as caught:
        read_rows(request)
    return caught.value.violations[0].field


@given(
    matrix=arrays.arrays(np.float32, st.tuples(st.integers(1, 20), st.just(COLUMNS))),
    datatype=st.sampled_from(["FP32", "FP64"]),
    raw=st.booleans(),
    by_column=st.booleans(),
)
def test_every_form_of_a_matrix_is_read_as_it_was_sent(matrix, datatype, raw, by_column):
    sent = pb.ModelInferRequest.FromString(
        request_of(matrix, datatype, raw=raw, by_column=by_column).SerializeToString()
    )
    found, was_raw = read_rows(sent)
    assert was_raw is raw
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, matrix)


def test_raw_single_precision_is_a_view_of_the_request_s_bytes():
    request = request_of(rows_of(2))
    found, _ = read_rows(request)
    assert not found.flags.owndata
    assert not found.flags.writeable


def test_columns_may_come_in_any_order():
    request = request_of(rows_of(3), by_column=True)
    turned = pb.ModelInferRequest(
        inputs=reversed(request.inputs), raw_input_contents=reversed(request.raw_input_contents)
    )
    np.testing.assert_array_equal(read_rows(turned)[0], rows_of(3))


def test_the_most_rows_are_read_and_one_more_is_refused():
    assert len(read_rows(request_of(rows_of(MAX_ROWS)))[0]) == MAX_ROWS
    assert fault_of(request_of(rows_of(MAX_ROWS + 1))) == "inputs[0].shape"


def test_no_tensor_is_refused():
    assert fault_of(pb.ModelInferRequest()) == "inputs"


@pytest.mark.parametrize("datatype", ["", "INT64", "FP16", "BYTES", "fp32"])
def test_a_type_that_is_no_float_is_refused(datatype):
    request = request_of(rows_of(1))
    request.inputs[0].datatype = datatype
    assert fault_of(request) == "inputs[0].datatype"


@pytest.mark.parametrize(
    "shape",
    [
        [],
        [COLUMNS],
        [1, COLUMNS, 1],
        [1, COLUMNS - 1],
        [COLUMNS, 1],
        [0, COLUMNS],
        [-1, COLUMNS],
        [2**62, 2**62],
    ],
    ids=str,
)
def test_a_shape_that_does_not_fit_the_schema_is_refused(shape):
    request = request_of(rows_of(1))
    del request.inputs[0].shape[:]
    request.inputs[0].shape.extend(shape)
    assert fault_of(request) == "inputs[0].shape"


@pytest.mark.parametrize("cut", [1, 4, COLUMNS * 4])
def test_raw_contents_of_another_size_than_the_shape_says_are_refused(cut):
    request = request_of(rows_of(1))
    request.raw_input_contents[0] = request.raw_input_contents[0][:-cut]
    assert fault_of(request) == "raw_input_contents[0]"


@pytest.mark.parametrize("buffers", [2, 3])
def test_buffers_and_inputs_must_be_as_many(buffers):
    request = request_of(rows_of(1))
    request.raw_input_contents.extend([b""] * (buffers - 1))
    assert fault_of(request) == "raw_input_contents"


def test_typed_contents_of_another_number_are_refused():
    request = request_of(rows_of(2), raw=False)
    request.inputs[0].contents.fp32_contents.append(1.0)
    assert fault_of(request) == "inputs[0].contents.fp32_contents"
    request.inputs[0].ClearField("contents")
    assert fault_of(request) == "inputs[0].contents.fp32_contents"


def test_values_in_the_field_of_another_type_are_refused():
    request = request_of(rows_of(1), raw=False)
    request.inputs[0].datatype = "FP64"
    assert fault_of(request) == "inputs[0].contents.fp32_contents"


def test_both_forms_at_once_are_refused():
    request = request_of(rows_of(1))
    request.inputs[0].contents.fp32_contents.append(1.0)
    assert fault_of(request) == "inputs[0].contents"


def test_a_missing_a_double_and_an_unknown_column_are_named():
    request = request_of(rows_of(1), by_column=True)
    del request.inputs[3], request.raw_input_contents[3]
    with pytest.raises(TensorInvalid, match=SCHEMA.names[3]):
        read_rows(request)
    request = request_of(rows_of(1), by_column=True)
    request.inputs[5].name = SCHEMA.names[0]
    assert fault_of(request) == "inputs[5].name"
    request.inputs[5].name = "shoe_size"
    assert fault_of(request) == "inputs[5].name"
    request.inputs[5].name = "features"
    assert fault_of(request) == "inputs[5].name"


def test_columns_of_different_lengths_are_refused():
    request = request_of(rows_of(2), by_column=True)
    request.inputs[4].shape[0] = 1
    request.raw_input_contents[4] = request.raw_input_contents[4][:4]
    assert fault_of(request) == "inputs[4].shape"


def test_a_double_beyond_single_precision_is_out_of_range_and_no_infinity():
    matrix = rows_of(2).astype(np.float64)
    matrix[1, 8] = 1e300
    with pytest.raises(InvalidArgument, match="row 1, column 8") as caught:
        read_rows(request_of(matrix, "FP64"))
    assert caught.value.reason == "FEATURE_OUT_OF_RANGE"


@pytest.mark.parametrize("place", ["sequence", "input", "output"])
def test_what_would_change_the_meaning_of_a_request_is_refused_by_name(place):
    request = request_of(rows_of(1))
    request.outputs.add(name="spend")
    holder, name = {
        "sequence": (request, "sequence_id"),
        "input": (request.inputs[0], "shared_memory_region"),
        "output": (request.outputs[0], "classification"),
    }[place]
    holder.parameters[name].int64_param = 1
    with pytest.raises(Unimplemented, match=name) as caught:
        _ = wanted_outputs(request, OUTPUTS["prediction"]), read_rows(request)
    assert caught.value.reason == "OIP_EXTENSION_UNSUPPORTED"


def test_outputs_are_given_in_the_order_asked_and_all_of_them_when_none_is():
    request = pb.ModelInferRequest()
    offered = OUTPUTS["segmentation"]
    assert [one.name for one in wanted_outputs(request, offered)] == ["segment_id", "distance"]
    request.outputs.add(name="distance")
    assert [one.name for one in wanted_outputs(request, offered)] == ["distance"]
    request.outputs.add(name="distance")
    with pytest.raises(TensorInvalid, match="twice"):
        wanted_outputs(request, offered)
    request.outputs[1].name = "spend"
    with pytest.raises(TensorInvalid, match="segment_id, distance"):
        wanted_outputs(request, offered)


@given(
    arrays.arrays(np.float64, st.integers(1, 9), elements=st.floats(allow_nan=False, allow_infinity=False))
)
def test_raw_and_typed_outputs_hold_the_same_values(values):
    wanted = [OUTPUTS["segmentation"]["distance"]]
    raw, typed = pb.ModelInferResponse(), pb.ModelInferResponse()
    write_outputs(raw, wanted, {"distance": values}, raw=True)
    write_outputs(typed, wanted, {"distance": values}, raw=False)
    assert list(raw.outputs[0].shape) == [len(values), 1]
    np.testing.assert_array_equal(np.frombuffer(raw.raw_output_contents[0], "<f8"), values)
    np.testing.assert_array_equal(typed.outputs[0].contents.fp64_contents, values)
    assert not typed.raw_output_contents
    assert not raw.outputs[0].HasField("contents")


def test_a_segment_is_an_integer_of_64_bits():
    wanted = [OUTPUTS["segmentation"]["segment_id"]]
    raw, typed = pb.ModelInferResponse(), pb.ModelInferResponse()
    for reply, form in ((raw, True), (typed, False)):
        write_outputs(reply, wanted, {"segment_id": np.array([0.0, 7.0])}, raw=form)
        assert reply.outputs[0].datatype == "INT64"
    assert np.frombuffer(raw.raw_output_contents[0], "<i8").tolist() == [0, 7]
    assert list(typed.outputs[0].contents.int64_contents) == [0, 7]
