"""One servicer made of several, for a service whose methods are spread over files."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def joined(*parts: Any) -> SimpleNamespace:
    """A servicer that has the methods of all ``parts``.

    Args:
        parts: Servicers, whose RPCs are the methods with a capital letter.

    Raises:
        ValueError: Two parts have a method of one name.
    """
    methods: dict[str, Any] = {}
    for part in parts:
        for name in dir(part):
            if name[0].isupper() and name in methods:
                raise ValueError(f"two servicers have the method {name}")
            if name[0].isupper():
                methods[name] = getattr(part, name)
    return SimpleNamespace(**methods)
