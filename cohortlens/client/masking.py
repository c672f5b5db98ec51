"""Messages with secrets do not show them: their ``repr`` ends up in logs and in traces of failures."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from cohortlens.client._generated.sensitive import SENSITIVE


def mask(messages: dict[str, Any]) -> None:
    """Give each message with sensitive fields a ``repr`` that hides their values.

    Args:
        messages: Classes by name.
    """
    for name in SENSITIVE:
        messages[name].__repr__ = _masked


def _masked(message: Any) -> str:
    kind = type(message)
    hidden, empty = SENSITIVE[kind.__name__], kind()
    parts = [
        f"{field.name}={'***' if field.name in hidden else repr(value)}"
        for field in fields(message)
        if (value := getattr(message, field.name)) != getattr(empty, field.name)
    ]
    return f"{kind.__name__}({', '.join(parts)})"
