"""The values of fields marked ``sensitive`` in the protos, so that nothing that is written repeats them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from gateway.interceptors.chain import Call
from gateway.registry import MethodTable, fields_of, is_sensitive


def secret_names(table: MethodTable) -> set[str]:
    """Names of all sensitive fields of all requests and replies."""
    seen: set[str] = set()
    kinds = [
        kind for method in table for kind in (method.descriptor.input_type, method.descriptor.output_type)
    ]
    return {field.name for kind in kinds for field in fields_of(kind, seen) if is_sensitive(field)}


def secrets_of(call: Call) -> Iterable[str]:
    """What the request of a call brought that must not be written, as far as it has been read."""
    if call.request is None or not call.method.brings_secrets:
        return ()
    return secret_values(call.request)


def secret_values(message: Message) -> Iterator[str]:
    """The values of the sensitive fields of a message and of those inside it, as text."""
    for field, value in message.ListFields():
        many: Iterable[Any] = value if field.is_repeated else [value]
        if is_sensitive(field):
            for one in many:
                yield one.hex() if isinstance(one, bytes) else str(one)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for one in many:
                yield from secret_values(one)
