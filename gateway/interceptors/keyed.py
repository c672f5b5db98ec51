"""What the step ``idempotency`` knows of a keyed request: its key, its canonical form, its stored answer."""

from __future__ import annotations

import json
import re
import struct
from typing import Any

import numpy as np
from google.protobuf.message import Message

from cohortlens.core import errors
from cohortlens.core.errors import Code, CohortLensError, InvalidArgument, Violation
from gateway.interceptors.chain import Call
from gateway.registry import MethodInfo
from gateway.wire.vectors import VectorRequest

FIELD = "request_id"
"""Name of the field that holds the key."""
HEADER = "idempotency-key"
REPLAYED = ("idempotent-replayed", "true")
"""Header of an answer that was given before."""
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_VECTORS = "vectors"
_ERRORS: dict[Code, type[CohortLensError]] = {
    one.code: one
    for one in vars(errors).values()
    if isinstance(one, type) and issubclass(one, CohortLensError) and one is not CohortLensError
}


def takes_key(method: MethodInfo) -> bool:
    """Whether a method takes keys: its callers are known, it answers once, and its request has the field."""
    if method.policy.public or method.server_streaming:
        return False
    return bool(key_path(method))


def key_path(method: MethodInfo) -> tuple[str, ...]:
    """Where a request holds its key: in itself, or in the options of an upload; empty for nowhere."""
    fields = method.input_class.DESCRIPTOR.fields_by_name
    if FIELD in fields:
        return (FIELD,)
    options = fields.get("options") if method.client_streaming else None
    kind = None if options is None else options.message_type
    return ("options", FIELD) if kind is not None and FIELD in kind.fields_by_name else ()


def has_none(call: Call) -> bool:
    """Whether a unary call brings no key, as most do."""
    request: Any = call.request
    message = request.message if type(request) is VectorRequest else request
    return not message.request_id and call.metadata.first(HEADER) is None


def key_of(call: Call, path: tuple[str, ...], request: Any) -> str:
    """The key of a request; empty when it has none.

    Args:
        call: The call, whose metadata may hold it.
        path: Where the request may hold it.
        request: The checked request, or the first message of an upload; None when there is none.

    Raises:
        InvalidArgument: FIELD_INVALID: the header cannot be a key; FIELD_CONFLICT: it says another one than
            the field.
    """
    given = call.metadata.values(HEADER)
    field = "" if request is None else _at(_message(request), path)
    if not given:
        return field
    if len(set(given)) > 1 or not _KEY.fullmatch(given[0]):
        raise _invalid("must be one value of 1 to 255 printable ASCII characters")
    if field and field != given[0]:
        name = ".".join(path)
        raise InvalidArgument(
            f"{HEADER} is another key than {name} of the request; send one, or the same in both",
            reason="FIELD_CONFLICT",
            violations=(Violation(name, f"is another key than {HEADER}"),),
        )
    return given[0]


def canonical(request: Any, path: tuple[str, ...]) -> bytes:
    """The same bytes for the same request through either door, whichever way its key came."""
    if request is None:
        return b""
    message = type(_message(request))()
    message.CopyFrom(_message(request))
    holder = getattr(message, path[0]) if len(path) > 1 else message
    holder.ClearField(path[-1])
    rows: Any = ()
    if isinstance(request, VectorRequest):
        rows = request.vectors
    elif _VECTORS in message.DESCRIPTOR.fields_by_name:
        rows = [vector.values for vector in message.vectors]
        message.ClearField(_VECTORS)
    parts = [np.asarray(row, "<f8").tobytes() for row in rows]
    rest: bytes = message.SerializeToString(deterministic=True)
    return struct.pack("<q", len(rest)) + rest + b"".join(struct.pack("<q", len(p)) + p for p in parts)


def answer_of(reply: Message, headers: list[tuple[str, str]]) -> bytes:
    """An answer as it is stored, with the headers that its servicer gave it."""
    return _head({"headers": headers}) + reply.SerializeToString()


def refusal_of(error: CohortLensError) -> bytes:
    """A final refusal as it is stored."""
    return _head(
        {
            "code": int(error.code),
            "reason": error.reason,
            "message": error.message,
            "metadata": error.metadata,
            "violations": [[one.field, one.description] for one in error.violations],
            "handed_out": sorted(error.handed_out),
        }
    )


def replay(call: Call, answer: bytes) -> None:
    """Give a stored answer once more.

    Raises:
        CohortLensError: It was a refusal.
    """
    call.response_headers.append(REPLAYED)
    head, _, body = answer.partition(b"\n")
    told = json.loads(head)
    if "code" in told:
        raise _refusal(told)
    call.response_headers += [(name, value) for name, value in told["headers"]]
    put(call, call.method.output_class.FromString(body))


def put(call: Call, reply: Message) -> None:
    """Answer a call whose servicer does not run."""
    call.reply = reply
    if call.encoder is not None:
        call.encoded = call.encoder(reply)
        call.response_bytes = len(call.encoded)


def is_final(error: CohortLensError) -> bool:
    """Whether a refusal stands for a repeat too: no fault of the request's form, of ours, or of the hour."""
    return error.code in _FINAL and error.retry_delay_s is None


_FINAL = frozenset(
    {
        Code.NOT_FOUND,
        Code.ALREADY_EXISTS,
        Code.PERMISSION_DENIED,
        Code.FAILED_PRECONDITION,
        Code.OUT_OF_RANGE,
        Code.UNAUTHENTICATED,
    }
)


def _refusal(told: dict[str, Any]) -> CohortLensError:
    error = _ERRORS.get(Code(told["code"]), CohortLensError)(
        told["message"],
        reason=told["reason"],
        metadata=told["metadata"],
        violations=tuple(Violation(*one) for one in told["violations"]),
    )
    error.handed_out = frozenset(told["handed_out"])  # type: ignore[misc]
    return error


def _head(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _message(request: Any) -> Any:
    return request.message if isinstance(request, VectorRequest) else request


def _at(message: Any, path: tuple[str, ...]) -> str:
    for name in path:
        message = getattr(message, name)
    return str(message)


def _invalid(fault: str) -> InvalidArgument:
    return InvalidArgument(f"{HEADER} {fault}", violations=(Violation(HEADER, fault),))
