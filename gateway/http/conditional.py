"""Conditions of HTTP requests: entity tags of replies, ``If-None-Match`` and ``If-Match``.

Source: RFC 9110, 8.8.3, 13.1.1 and 13.1.2. An ``etag`` field of our messages versions what an update guards,
not every byte that a reply shows. So the tag of such a reply is both, ``"<etag>.<digest of the body>"``: a
cache compares the whole, an update the part before the last point. Other replies have a weak tag.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from functools import cache
from hashlib import sha256
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from cohortlens.core.errors import Aborted, InvalidArgument, Violation
from gateway.http.headers import Head

MAX_TAGGED_BYTES: Final = 1024 * 1024
"""Larger replies have no tag: the digest would hold up other calls."""
FIELD: Final = "etag"
MISMATCH: Final = "ETAG_MISMATCH"
_DIGEST_CHARACTERS: Final = 16
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_LIST = re.compile(rf"\s*(?:{_TAG.pattern}\s*)?(?:,\s*(?:{_TAG.pattern}\s*)?)*")
_CODED: Final = "-gzip"


def tag_of(reply: Message, body: bytes) -> str:
    """The entity tag of a whole reply: strong when it has an ``etag`` field, else weak.

    Args:
        reply: The reply.
        body: Its text, at most ``MAX_TAGGED_BYTES``.
    """
    digest = urlsafe_b64encode(sha256(body).digest())[:_DIGEST_CHARACTERS].decode()
    version = _at(reply, etag_path(reply.DESCRIPTOR))
    return f'"{version}.{digest}"' if version else f'W/"{digest}"'


def coded(tag: str) -> str:
    """The tag of the same reply compressed: bytes that differ must not have the same strong tag."""
    return tag if tag.startswith("W/") else f'{tag[:-1]}{_CODED}"'


def is_known(head: Head, tag: str) -> bool:
    """Whether the caller has the reply with this tag: ``If-None-Match`` names it, by the weak comparison."""
    text = head.get("if-none-match")
    if not text or not tag:
        return False
    if text.strip() == "*":
        return True
    opaque = _opaque(tag)
    return any(opaque == found.removesuffix(_CODED) for _, found in _TAG.findall(text))


def check(head: Head, verb: str, request: Descriptor) -> None:
    """Refuse a condition that would not be kept.

    Raises:
        InvalidArgument: HEADER_INVALID.
    """
    if "if-none-match" in head.values and verb not in {"GET", "HEAD"}:
        raise _invalid("If-None-Match", "is taken by GET and HEAD only")
    if "if-match" in head.values and (verb in {"GET", "HEAD"} or not etag_path(request)):
        raise _invalid("If-Match", "is not taken by this method: its request has no etag")


def unkept(head: Head) -> InvalidArgument | None:
    """The fault HEADER_INVALID for ``If-Match`` at a door that keeps no conditions; None without one.

    Who sends it would take a change for one that was guarded.
    """
    if "if-match" not in head.values:
        return None
    return _invalid("If-Match", "is not taken here: send the etag in the request")


def fill(head: Head, request: Any) -> None:
    """Put the version that ``If-Match`` names into the request; ``*`` asks for none.

    Raises:
        InvalidArgument: HEADER_INVALID for more than one tag or none; FIELD_CONFLICT when the request names
            another one.
        Aborted: ETAG_MISMATCH for a weak tag, which never matches here.
    """
    text = head.get("if-match").strip()
    if text == "*":
        return
    tags = _TAG.findall(text)
    if len(tags) != 1 or not _LIST.fullmatch(text):
        raise _invalid("If-Match", 'must be one entity tag such as "7.c2FtcGxl", or *')
    weak, found = tags[0]
    if weak:
        raise Aborted("a weak entity tag never matches; read it again and send its etag", reason=MISMATCH)
    version = _version(found)
    path = etag_path(request.DESCRIPTOR)
    given = _at(request, path)
    if given and given != version:
        name = ".".join(path)
        raise InvalidArgument(
            f"{name}: is another one than If-Match",
            reason="FIELD_CONFLICT",
            violations=(Violation(name, "is another one than If-Match"),),
        )
    holder = request
    for name in path[:-1]:
        holder = getattr(holder, name)
    setattr(holder, path[-1], version)


@cache
def etag_path(message: Descriptor) -> tuple[str, ...]:
    """Where a message holds its ``etag``: in itself, or in its only message that has one; else empty."""
    if _is_text(message.fields_by_name.get(FIELD)):
        return (FIELD,)
    holders = [
        one.name
        for one in message.fields
        if one.message_type is not None
        and not one.is_repeated
        and _is_text(one.message_type.fields_by_name.get(FIELD))
    ]
    return (holders[0], FIELD) if len(holders) == 1 else ()


def _is_text(one: FieldDescriptor | None) -> bool:
    return one is not None and one.type == FieldDescriptor.TYPE_STRING and not one.is_repeated


def _at(message: Any, path: tuple[str, ...]) -> str:
    if not path:
        return ""
    for name in path:
        message = getattr(message, name)
    return str(message)


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")[1:-1].removesuffix(_CODED)


def _version(opaque: str) -> str:
    """The version in a tag of ours; a plain one, as it stands in a reply, is taken as it is."""
    version, point, digest = opaque.removesuffix(_CODED).rpartition(".")
    return version if point and len(digest) == _DIGEST_CHARACTERS else opaque


def _invalid(name: str, fault: str) -> InvalidArgument:
    return InvalidArgument(f"{name} {fault}", reason="HEADER_INVALID", violations=(Violation(name, fault),))
