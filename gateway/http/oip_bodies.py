"""Bodies of the Open Inference Protocol over HTTP: JSON with tensors in it, or JSON followed by their bytes.

They are not proto JSON: names stay as declared, numbers of 64 bits are numbers, parameters are bare values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson
from google.protobuf.message import Message

from cohortlens.core.errors import InvalidArgument
from cohortlens.oip import inference_pb2 as pb
from gateway.http.jsontext import load
from gateway.servicers.inference_v2_tensors import TensorInvalid

BINARY_HEADER: Final = "inference-header-content-length"
"""Header with the length of the JSON part of a body that has a binary part; bytes."""

_NUMBERS: Final = frozenset({int, float, type(None)})
_FLOATS: Final = frozenset({"FP32", "FP64"})
_RESULT_TYPES: Final = {"FP64": np.dtype("<f8"), "INT64": np.dtype("<i8")}
_SIZE: Final = "binary_data_size"


class InferBody:
    """Reads a request of ``infer`` and writes its reply in the form the caller asked for."""

    def __init__(self) -> None:
        self._binary_all = False
        self._binary: dict[str, bool] = {}

    def read(self, body: bytes, header_length: str) -> pb.ModelInferRequest:
        """The request of a body; its tensors become raw contents.

        Args:
            body: JSON, or JSON and the bytes of tensors.
            header_length: Length of the JSON in bytes as text; empty when the body is JSON alone.

        Raises:
            JsonFault: The JSON part is not JSON.
            TensorInvalid: A member has the wrong type, or the parts do not fit each other.
        """
        text, data = _split(body, header_length)
        document = load(text, nan_allowed=True)
        if type(document) is not dict:
            raise TensorInvalid("body", "is not a JSON object with inputs")
        request = pb.ModelInferRequest(id=_text(document, "id", "id"))
        _fill_parameters(request.parameters, document, "parameters")
        self._binary_all = document.get("parameters", {}).get("binary_data_output") is True
        rest = memoryview(data)
        for at, given in enumerate(_objects(document, "inputs")):
            rest = _read_input(request, given, f"inputs[{at}]", rest)
        if rest:
            raise TensorInvalid("body", f"ends with {len(rest)} bytes that belong to no input")
        for at, given in enumerate(_objects(document, "outputs")):
            name = _text(given, "name", f"outputs[{at}].name")
            output = request.outputs.add(name=name)
            _fill_parameters(output.parameters, given, f"outputs[{at}].parameters")
            asked = given.get("parameters", {}).get("binary_data")
            if type(asked) is bool:
                self._binary[name] = asked
        return request

    def write(self, reply: pb.ModelInferResponse) -> tuple[bytes, int | None]:
        """The body of a reply with raw contents.

        Returns:
            The body, and the length of its JSON part in bytes when tensors follow it.
        """
        outputs, parts = [], []
        for output, content in zip(reply.outputs, reply.raw_output_contents, strict=True):
            shown: dict[str, Any] = {
                "name": output.name,
                "datatype": output.datatype,
                "shape": list(output.shape),
            }
            if self._binary.get(output.name, self._binary_all):
                shown["parameters"] = {_SIZE: len(content)}
                parts.append(content)
            else:
                shown["data"] = np.frombuffer(content, _RESULT_TYPES[output.datatype])
            outputs.append(shown)
        document: dict[str, Any] = {"model_name": reply.model_name, "model_version": reply.model_version}
        if reply.id:
            document["id"] = reply.id
        document["outputs"] = outputs
        text = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
        return (b"".join([text, *parts]), len(text)) if parts else (text, None)


def _split(body: bytes, header_length: str) -> tuple[bytes, bytes]:
    if not header_length:
        return body, b""
    length = int(header_length) if header_length.isascii() and header_length.isdigit() else -1
    if not 0 < length <= len(body):
        raise InvalidArgument(
            f"Inference-Header-Content-Length is {header_length[:20]!r}; the body has {len(body)} bytes",
            reason=TensorInvalid.reason,
        )
    return body[:length], body[length:]


def _read_input(
    request: pb.ModelInferRequest, given: dict[str, Any], field: str, rest: memoryview
) -> memoryview:
    """Add one input to the request; returns the binary part behind it."""
    tensor = request.inputs.add(
        name=_text(given, "name", f"{field}.name"), datatype=_text(given, "datatype", f"{field}.datatype")
    )
    shape = given.get("shape")
    if type(shape) is not list or not all(type(one) is int and 0 <= one < 2**31 for one in shape):
        raise TensorInvalid(f"{field}.shape", "is not a list of sizes such as [2, 36]")
    tensor.shape.extend(shape)
    _fill_parameters(tensor.parameters, given, f"{field}.parameters")
    size = given.get("parameters", {}).get(_SIZE)
    if size is None:
        request.raw_input_contents.append(_json_values(tensor, given, field))
        return rest
    if "data" in given:
        raise TensorInvalid(f"{field}.data", f"is given beside {_SIZE}; give one form")
    if type(size) is not int or not 0 <= size <= len(rest):
        raise TensorInvalid(
            f"{field}.parameters.{_SIZE}", f"is {size!r}; the binary part has {len(rest)} bytes left"
        )
    request.raw_input_contents.append(bytes(rest[:size]))
    return rest[size:]


def _json_values(tensor: pb.ModelInferRequest.InferInputTensor, given: dict[str, Any], field: str) -> bytes:
    """The ``data`` of an input as raw contents; the tensor becomes FP64, which holds every JSON number."""
    data = given.get("data")
    if type(data) is not list:
        raise TensorInvalid(f"{field}.data", "is not a list of numbers")
    if tensor.datatype not in _FLOATS:
        # The servicer refuses the type, whatever the values are.
        return b""
    values = [math.nan if one == "NaN" else one for one in _flat(data, list(tensor.shape), field)]
    if not _NUMBERS.issuperset(map(type, values)):
        raise TensorInvalid(f"{field}.data", "holds something else than numbers, null or NaN")
    try:
        array = np.array(values, "<f8")
    except OverflowError:
        raise TensorInvalid(f"{field}.data", "holds a number beyond double precision") from None
    tensor.datatype = "FP64"
    return array.tobytes()


def _flat(data: list[Any], shape: list[int], field: str) -> list[Any]:
    """The values of flat or nested lists; nested ones must have the sizes of the shape."""
    level = data
    for size, inner in zip(shape, [*shape[1:], None], strict=True):
        if inner is None or not level or type(level[0]) is not list:
            break
        if level is data and len(data) != size:
            raise TensorInvalid(f"{field}.data", f"has {len(data)} rows, shape says {size}")
        if any(type(one) is not list or len(one) != inner for one in level):
            raise TensorInvalid(f"{field}.data", f"has a row that is not a list of {inner}, as shape says")
        level = list(chain.from_iterable(level))
    if len(level) != math.prod(shape):
        raise TensorInvalid(
            f"{field}.data", f"holds {len(level)} values, shape {shape} has {math.prod(shape)}"
        )
    return level


def _objects(document: dict[str, Any], name: str) -> Iterable[dict[str, Any]]:
    found = document.get(name, [])
    if type(found) is not list or not all(type(one) is dict for one in found):
        raise TensorInvalid(name, "is not a list of objects")
    return found


def _text(given: dict[str, Any], name: str, field: str) -> str:
    found = given.get(name, "")
    if type(found) is not str:
        raise TensorInvalid(field, "is not a text")
    return found


def _fill_parameters(parameters: Any, given: dict[str, Any], field: str) -> None:
    found = given.get("parameters", {})
    if type(found) is not dict:
        raise TensorInvalid(field, "is not an object")
    for name, value in found.items():
        kind = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}.get(
            type(value)
        )
        if kind is None or (type(value) is int and not -(2**63) <= value < 2**63):
            raise TensorInvalid(f"{field}.{name[:40]}", "is not a truth value, a number or a text")
        setattr(parameters[name], kind, value)


def document_of(message: Message) -> dict[str, Any]:
    """A message as the protocol writes it in JSON: every field, by its declared name."""
    return {field.name: _field_value(message, field) for field in message.DESCRIPTOR.fields}


def _field_value(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if isinstance(value, Mapping):
        return {key: _bare(value[key]) for key in value}
    if field.is_repeated:
        return [_single(one, field) for one in value]
    if field.message_type is not None and not message.HasField(field.name):
        return None
    return _single(value, field)


def _single(value: Any, field: Any) -> Any:
    if field.message_type is not None:
        return document_of(value)
    return field.enum_type.values_by_number[value].name if field.enum_type is not None else value


def _bare(value: Any) -> Any:
    """A parameter as its bare value; any other message of a map as it is."""
    if isinstance(value, pb.InferParameter):
        kind = value.WhichOneof("parameter_choice")
        return getattr(value, kind) if kind else None
    return document_of(value)
