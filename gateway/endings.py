"""When deprecated methods go: read from the descriptors at start, told with every answer, kept by the chain.

Source: RFC 9745 (``Deprecation``), RFC 8594 (``Sunset``), and our ``docs/policies/versioning.md``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from typing import Any, Final

from google.protobuf.descriptor import MethodDescriptor

from cohortlens.v1 import common_pb2

NOTICE_DAYS: Final = 180
"""Fewest days from the notice of an end to the end."""
_DEPRECATION: Any = common_pb2.deprecation  # a bare FieldDescriptor, which the type stubs do not index
_LINK = re.compile(r"/[\x21\x23-\x3b\x3d\x3f-\x7e]*|https://[\x21\x23-\x3b\x3d\x3f-\x7e]+")


class EndingInvalidError(Exception):
    """The end of a method is not declared as the policy wants it; says what is wrong."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a deprecated method.

    Attributes:
        removed: Seconds since 1970 from which it answers METHOD_REMOVED.
        headers: What every answer of it carries.
    """

    removed: int
    headers: tuple[tuple[str, str], ...]


def ending_of(method: MethodDescriptor) -> Ending | None:
    """The end of a method; None for one that is not deprecated.

    Raises:
        EndingInvalidError: It is deprecated without a day or has a day without being deprecated, a day or the
            link cannot be, or the notice is shorter than ``NOTICE_DAYS``.
    """
    options = method.GetOptions()
    declared = options.Extensions[_DEPRECATION]
    if not options.deprecated:
        if options.HasExtension(_DEPRECATION):
            raise EndingInvalidError("has an end and is not deprecated")
        return None
    if not options.HasExtension(_DEPRECATION):
        raise EndingInvalidError("is deprecated and names no day on which it goes")
    since, removed = _day("since", declared.since), _day("removed", declared.removed)
    if (removed - since).days < NOTICE_DAYS:
        raise EndingInvalidError(f"goes less than {NOTICE_DAYS} days after it is deprecated")
    if not _LINK.fullmatch(declared.link):
        raise EndingInvalidError("names no page that says what to use instead")
    at, end = (datetime.combine(day, time(), UTC) for day in (since, removed))
    headers = (
        ("deprecation", f"@{int(at.timestamp())}"),
        ("sunset", format_datetime(end, usegmt=True)),
        ("link", f'<{declared.link}>; rel="deprecation"'),
    )
    return Ending(int(end.timestamp()), headers)


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise EndingInvalidError(f"has an end with {name}: {text!r}, no day such as 2026-11-23") from None
