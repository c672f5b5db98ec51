"""Tensors of the Open Inference Protocol: those of a request become feature rows, results become tensors.

Raw contents are read and written without a copy of ours: the bytes of the message are the array.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.options import DEFAULT_OPTIONS, Loss, PredictionOptions
from cohortlens.analytics.ports import Features, Values
from cohortlens.contracts.asks import DEFAULT_DISCOUNT, DEFAULT_LEVEL
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.errors import InvalidArgument, Unimplemented, Violation
from cohortlens.oip import inference_pb2 as pb
from gateway.servicers.inference_v2_models import FEATURES, Output
from gateway.servicers.inference_v2_policy import EXTENSION_UNSUPPORTED

MAX_ROWS: Final = 4096
"""Most rows of a request."""

_WIDTH = len(SCHEMA.columns)
_DTYPES: Final[dict[str, tuple[np.dtype[Any], str]]] = {
    "FP32": (np.dtype("<f4"), "fp32_contents"),
    "FP64": (np.dtype("<f8"), "fp64_contents"),
}
# What would change the meaning of a request; other parameters are hints that we need not follow.
_TENSOR_EXTENSIONS = ("shared_memory_region", "classification")
_REQUEST_EXTENSIONS = ("sequence_id",)

Tensor = pb.ModelInferRequest.InferInputTensor


class TensorInvalid(InvalidArgument):
    """A tensor that cannot be read; names its field of the request."""

    reason = "TENSOR_INVALID"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}", violations=(Violation(field, why),))


def read_rows(request: pb.ModelInferRequest) -> tuple[Features, bool]:
    """The feature rows of a request.

    Returns:
        Shape (n, columns), float32, in schema order, values not checked; and whether they came raw. The array
        may be a read-only view of the request's bytes.

    Raises:
        TensorInvalid: A tensor is missing, double, of the wrong type or size, or both forms are mixed.
        InvalidArgument: ``FEATURE_OUT_OF_RANGE``: an FP64 value is beyond single precision.
        Unimplemented: ``OIP_EXTENSION_UNSUPPORTED``: shared memory or a sequence.
    """
    _refuse_extensions(request.parameters, _REQUEST_EXTENSIONS, "parameters")
    inputs, raw = request.inputs, request.raw_input_contents
    if not inputs:
        raise TensorInvalid(
            "inputs", f"no tensor is given; give {FEATURES} of shape [rows, {_WIDTH}] or one per column"
        )
    for at, tensor in enumerate(inputs):
        if tensor.parameters:
            _refuse_extensions(tensor.parameters, _TENSOR_EXTENSIONS, f"inputs[{at}].parameters")
    if raw and len(raw) != len(inputs):
        raise TensorInvalid(
            "raw_input_contents", f"holds {len(raw)} buffers for {len(inputs)} inputs; give one for each"
        )
    if len(inputs) == 1 and inputs[0].name == FEATURES:
        return _values(inputs[0], 0, raw, _WIDTH), bool(raw)
    return _columns(inputs, raw), bool(raw)


def _columns(inputs: Sequence[Tensor], raw: Sequence[bytes]) -> Features:
    """Rows of one tensor per column."""
    found: dict[str, Features] = {}
    for at, tensor in enumerate(inputs):
        name = tensor.name
        if name in found:
            raise TensorInvalid(f"inputs[{at}].name", f"{name} is given twice")
        if name not in SCHEMA.names:
            raise TensorInvalid(
                f"inputs[{at}].name",
                f"{name[:40]!r} is neither {FEATURES}, which stands alone, nor a column of {SCHEMA.name}",
            )
        found[name] = _values(tensor, at, raw, 1)
        if len(found[name]) != len(found[inputs[0].name]):
            raise TensorInvalid(
                f"inputs[{at}].shape",
                f"{name} has {len(found[name])} rows, {inputs[0].name} has {len(found[inputs[0].name])}",
            )
    missing = [name for name in SCHEMA.names if name not in found]
    if missing:
        raise TensorInvalid(
            "inputs", f"no tensor for {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
        )
    return np.concatenate([found[name] for name in SCHEMA.names], axis=1)


def _values(tensor: Tensor, at: int, raw: Sequence[bytes], columns: int) -> Features:
    """Rows of one tensor, shape (rows, columns)."""
    known = _DTYPES.get(tensor.datatype)
    if known is None:
        raise TensorInvalid(
            f"inputs[{at}].datatype", f"is {tensor.datatype[:20]!r}; {tensor.name} is FP32 or FP64"
        )
    dtype, typed = known
    rows = _rows(tensor, at, columns)
    if raw:
        if tensor.HasField("contents"):
            raise TensorInvalid(f"inputs[{at}].contents", "is given beside raw_input_contents; give one form")
        if len(raw[at]) != rows * columns * dtype.itemsize:
            raise TensorInvalid(
                f"raw_input_contents[{at}]",
                f"holds {len(raw[at])} bytes, {rows} x {columns} of {tensor.datatype} are "
                f"{rows * columns * dtype.itemsize}",
            )
        values = np.frombuffer(raw[at], dtype)
    else:
        values = _typed(tensor, at, typed, dtype)
        if len(values) != rows * columns:
            raise TensorInvalid(
                f"inputs[{at}].contents.{typed}",
                f"holds {len(values)} values, shape says {rows} x {columns}",
            )
    return _single(values.reshape(rows, columns), at)


def _rows(tensor: Tensor, at: int, columns: int) -> int:
    shape = tensor.shape
    if len(shape) != 2 or shape[1] != columns or shape[0] < 1:
        raise TensorInvalid(
            f"inputs[{at}].shape", f"is {list(shape)[:8]}; {tensor.name} is [rows, {columns}] with rows >= 1"
        )
    if shape[0] > MAX_ROWS:
        raise TensorInvalid(
            f"inputs[{at}].shape", f"has {shape[0]} rows; send at most {MAX_ROWS} in a request"
        )
    return int(shape[0])


def _typed(tensor: Tensor, at: int, wanted: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    for field, _ in tensor.contents.ListFields():
        if field.name != wanted:
            raise TensorInvalid(
                f"inputs[{at}].contents.{field.name}", f"does not hold {tensor.datatype}; use {wanted}"
            )
    return np.array(getattr(tensor.contents, wanted), dtype)


def _single(values: NDArray[Any], at: int) -> Features:
    if values.dtype == np.float32:
        return values
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    lost = np.isinf(narrow) & np.isfinite(values)
    if lost.any():
        row, column = (int(one) for one in np.argwhere(lost)[0])
        raise InvalidArgument(
            f"inputs[{at}], row {row}, column {column}: {values[row, column]:g} is beyond single precision",
            reason="FEATURE_OUT_OF_RANGE",
        )
    return narrow


def _refuse_extensions(parameters: Mapping[str, Any], names: Sequence[str], field: str) -> None:
    for name in names:
        if name in parameters:
            raise Unimplemented(
                f"{field}: {name} belongs to an extension that is not offered; leave it out",
                reason=EXTENSION_UNSUPPORTED,
            )


def options_of(request: pb.ModelInferRequest) -> PredictionOptions:
    """How a request asks: its parameters ``level_ratio``, ``loss`` and ``annual_discount_ratio``.

    Raises:
        TensorInvalid: A parameter of another type, or a value that cannot be.
    """
    if not request.parameters:
        return DEFAULT_OPTIONS
    level = _number(request, "level_ratio", DEFAULT_LEVEL)
    discount = _number(request, "annual_discount_ratio", DEFAULT_DISCOUNT)
    if not 0 <= discount <= 1:
        raise TensorInvalid("parameters.annual_discount_ratio", f"is {discount:g}; give 0 to 1")
    loss = Loss.RMSE
    if "loss" in request.parameters:
        given = request.parameters["loss"].string_param.upper()
        if given not in Loss.__members__:
            raise TensorInvalid("parameters.loss", "is neither rmse nor mae, as a string")
        loss = Loss(given)
    return PredictionOptions(level, loss, discount)


def _number(request: pb.ModelInferRequest, name: str, default: float) -> float:
    if name not in request.parameters:
        return default
    parameter = request.parameters[name]
    if parameter.WhichOneof("parameter_choice") != "double_param":
        raise TensorInvalid(f"parameters.{name}", "is no double")
    return float(parameter.double_param)


def wanted_outputs(request: pb.ModelInferRequest, offered: Mapping[str, Output]) -> list[Output]:
    """The outputs asked for, in the order asked; all of the model's when none is named.

    Raises:
        TensorInvalid: An unknown or double name.
        Unimplemented: ``OIP_EXTENSION_UNSUPPORTED``: classification or shared memory.
    """
    if not request.outputs:
        return list(offered.values())
    wanted: dict[str, Output] = {}
    for at, asked in enumerate(request.outputs):
        if asked.parameters:
            _refuse_extensions(asked.parameters, _TENSOR_EXTENSIONS, f"outputs[{at}].parameters")
        output = offered.get(asked.name)
        if output is None:
            raise TensorInvalid(f"outputs[{at}].name", f"{asked.name[:40]!r} is none of {', '.join(offered)}")
        if asked.name in wanted:
            raise TensorInvalid(f"outputs[{at}].name", f"{asked.name} is asked for twice")
        wanted[asked.name] = output
    return list(wanted.values())


def write_outputs(
    reply: pb.ModelInferResponse, wanted: Sequence[Output], columns: Mapping[str, Values], *, raw: bool
) -> None:
    """Add the tensors of a reply, each of shape [rows, 1].

    Args:
        reply: The reply.
        wanted: Which outputs, in this order.
        columns: Values by name of the output, shape (rows,), float64.
        raw: Whether as raw contents, else typed.
    """
    for output in wanted:
        values = columns[output.name]
        tensor = reply.outputs.add(name=output.name, datatype=output.datatype, shape=(len(values), 1))
        if raw:
            reply.raw_output_contents.append(_RAW[output.datatype](values))
        elif output.datatype == "INT64":
            tensor.contents.int64_contents.extend(values.astype(np.int64).tolist())
        else:
            tensor.contents.fp64_contents.extend(values.tolist())


_RAW: Final[dict[str, Callable[[Values], bytes]]] = {
    "FP64": lambda values: values.astype("<f8", copy=False).tobytes(),
    "INT64": lambda values: values.astype("<i8").tobytes(),
}
