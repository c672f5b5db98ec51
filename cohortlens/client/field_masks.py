"""Field masks in JSON: one text of lowerCamelCase paths, which betterproto2 reads as a message.

Source: google/protobuf/field_mask.proto, JSON encoding of field masks.
"""

from __future__ import annotations

import re
from typing import Any

from cohortlens.client._generated.google.protobuf import FieldMask


def read_as_text() -> None:
    """Let ``from_dict`` of any message take a field mask as text."""
    FieldMask.from_dict = classmethod(_from_dict)  # type: ignore[assignment]


def _from_dict(cls: type[FieldMask], value: Any, *, ignore_unknown_fields: bool = False) -> FieldMask:
    if isinstance(value, str):
        paths = [
            re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", path) for path in value.split(",") if path
        ]
        return cls(paths=paths)
    return super(FieldMask, cls).from_dict(value, ignore_unknown_fields=ignore_unknown_fields)
