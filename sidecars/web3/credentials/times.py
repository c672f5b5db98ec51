"""Times of credentials: XML Schema's dateTimeStamp, to the second where they are ours."""

from __future__ import annotations

import re
from datetime import UTC, datetime

# XML Schema 1.1 part 2, section 3.4.28: a time zone is required. VCDM 2.0 section 4.9 asks for this type.
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)\Z", re.ASCII)


def parse_stamp(text: object) -> datetime | None:
    """The time a dateTimeStamp names, in UTC; None when it is none."""
    if not isinstance(text, str) or not _STAMP.match(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def stamp(at: datetime) -> str:
    """A time as ours are written: UTC, whole seconds."""
    return at.astimezone(UTC).replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")
