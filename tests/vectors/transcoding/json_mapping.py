"""Vectors of the proto JSON mapping: a JSON text, and the message that it is or that it is refused."""

from __future__ import annotations

import base64
import importlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, text_format
from google.protobuf.message import Message

from gateway.http.codec import Codecs
from gateway.http.scalars import JsonFault
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.transcoding.listed import each

SHARED = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "transcoding"
SCHEMA = "test_messages_proto3.descriptor.json"
MESSAGE = "protobuf_test_messages.proto3.TestAllTypesProto3"


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether content is of this kind."""
    cases = content.get("cases") or [{}]
    return isinstance(cases, list) and isinstance(cases[0], dict) and {"json", "expect"} <= cases[0].keys()


def cases(vector: Vector) -> Iterator[Case]:
    """Read every text with the codec of the product, and write what was read again."""
    beside = vector.path.parent / SCHEMA
    pool = conformance_pool(beside if beside.is_file() else SHARED / SCHEMA)
    return each(vector, lambda case: tuple(faults(pool, case)))


@lru_cache(maxsize=4)
def conformance_pool(schema: Path) -> descriptor_pool.DescriptorPool:
    """A pool with the messages of a descriptor set written as proto JSON; well-known types are the installed ones."""
    pool = descriptor_pool.DescriptorPool()
    files = json_format.Parse(schema.read_text("utf-8"), descriptor_pb2.FileDescriptorSet()).file
    given = {file.name for file in files}
    known = {name for file in files for name in file.dependency} - given
    for name in sorted(known):
        proto = descriptor_pb2.FileDescriptorProto()
        module = name.removesuffix(".proto").replace("/", ".") + "_pb2"
        importlib.import_module(module).DESCRIPTOR.CopyToProto(proto)
        pool.Add(proto)
    for file in files:
        pool.Add(file)
    return pool


def faults(pool: descriptor_pool.DescriptorPool, case: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong in one case."""
    if case["expect"] not in {"ok", "parse_error"}:
        raise ValueError(f"expect is ok or parse_error, not {case['expect']!r}")
    codecs = Codecs(pool, lenient=case.get("ignore_unknown_fields", False))
    message = new_message(pool)
    try:
        # As bytes, so that both parsers of the door are asked; a lone surrogate makes them no UTF-8.
        codecs.parse(message, case["json"].encode("utf-8", "surrogatepass"))
    except JsonFault as fault:
        if case["expect"] == "ok":
            yield f"expected a message, found the fault {fault.field} {fault.description}"
        return
    if case["expect"] == "parse_error":
        yield f"expected a fault, found {text_format.MessageToString(message, as_one_line=True)!r}"
        return
    yield from _message_faults(pool, case, message)
    yield from _printed_faults(case, codecs.print(message))
    again = new_message(pool)
    codecs.parse(again, codecs.print(message))
    yield from differing(wire(message), wire(again))


def _message_faults(
    pool: descriptor_pool.DescriptorPool, case: Mapping[str, Any], message: Message
) -> Iterator[str]:
    if "textproto" in case:
        expected = text_format.Parse(case["textproto"], new_message(pool), descriptor_pool=pool)
        yield from differing(wire(expected), wire(message))
    if "expected_wire_base64" in case:
        expected = type(message).FromString(base64.b64decode(case["expected_wire_base64"]))
        yield from differing(wire(expected), wire(message))


def _printed_faults(case: Mapping[str, Any], text: bytes) -> Iterator[str]:
    printed = json.loads(text)
    for member in ("json_out_field", "expected_json"):
        for name, value in case.get(member, {}).items():
            if name not in printed or printed[name] != value:
                yield f"{member} {name}: expected {value!r}, found {printed.get(name)!r}"


def new_message(pool: descriptor_pool.DescriptorPool) -> Any:
    """An empty message of the suite."""
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(MESSAGE))()


def wire(message: Message) -> bytes:
    """The bytes of a message by which two are compared: NaN equals itself there."""
    return message.SerializeToString(deterministic=True)


JSON_MAPPING = Format("json mapping", recognises, cases, frozenset({"json_mapping_conformance"}))
"""Texts of JSON and the messages they are."""
