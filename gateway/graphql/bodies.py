"""The body of a GraphQL request: one JSON object, as "GraphQL over HTTP" says, and nothing beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cohortlens.core.errors import InvalidArgument
from gateway.http import faults, jsontext
from gateway.http.binding import refuse
from gateway.http.headers import JSON, Head, media_type
from gateway.http.scalars import JsonFault, unknown_field

MAX_BODY_BYTES: Final = 1024 * 1024
"""Less than other doors take: a body is read before anybody knows who sent it."""

_MEMBERS: Final = ("query", "operationName", "variables", "extensions")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for.

    Attributes:
        source: Text of the document.
        operation: Name of the operation; None when it names none.
        variables: Values of the variables.
    """

    source: str
    operation: str | None
    variables: dict[str, Any]


def check_type(head: Head) -> None:
    """Raise InvalidArgument (UNSUPPORTED_MEDIA_TYPE) for a body that does not say it is JSON.

    A page of another site can make a browser send a form or plain text, but never this without asking first.
    """
    media, parameters = media_type(head.get("content-type"))
    if media != JSON or parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise faults.unsupported_media(f"Content-Type {JSON}")


def read(text: bytes) -> Asked:
    """The request of a body.

    Raises:
        InvalidArgument: MALFORMED_JSON, DUPLICATE_FIELD, UNKNOWN_FIELD, FIELD_INVALID; names the member.
    """
    try:
        return _asked(jsontext.load(text))
    except JsonFault as fault:
        raise refuse(fault) from None


def _asked(value: Any) -> Asked:
    if type(value) is list:
        raise InvalidArgument("a request holds one operation; send those of a batch one by one")
    if type(value) is not dict:
        raise JsonFault('expected an object such as {"query": "{ me { user } }"}')
    for name in value:
        if name not in _MEMBERS:
            raise unknown_field(name, list(_MEMBERS), "UNKNOWN_FIELD").under(name[:64])
    source = value.get("query")
    if type(source) is not str or not source.strip():
        raise JsonFault("expected the text of a document").under("query")
    operation = value.get("operationName")
    if operation is not None and type(operation) is not str:
        raise JsonFault("expected a text or null").under("operationName")
    variables = value.get("variables")
    for name, member in (("variables", variables), ("extensions", value.get("extensions"))):
        if member is not None and type(member) is not dict:
            raise JsonFault("expected an object or null").under(name)
    # Some clients send an empty name for none.
    return Asked(source, operation or None, variables or {})
