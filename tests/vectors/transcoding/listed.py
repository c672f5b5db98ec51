"""The cases of a vector file one by one: what one of them raises is its own fault and nobody else's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.vectors.cases import Case, Vector

_REFUSING = re.compile(r"\b(?:refuse|reject|refusing|rejecting|stricter|400)\b")
_ALLOWING = re.compile(r"\b(?:fine|may|acceptable|allowed|or)\b")


def each(vector: Vector, check: Callable[[Mapping[str, Any]], tuple[str, ...]]) -> Iterator[Case]:
    """Check every entry of ``cases``, each under its ``id``."""
    for place, case in enumerate(vector.content["cases"]):
        name = str(case.get("id", place)) if isinstance(case, dict) else str(place)
        try:
            yield Case(name, check(case))
        except Exception as error:  # whatever a case brings about
            yield Case(name, (f"expected a case of this format, found {type(error).__name__}: {error}",))


def first_keys(content: Mapping[str, Any]) -> frozenset[str]:
    """The members of the first case of a file; none when it has no cases."""
    cases = content.get("cases")
    first = cases[0] if isinstance(cases, list) and cases else None
    return frozenset(first) if isinstance(first, dict) else frozenset()


def may_refuse(case: Mapping[str, Any]) -> bool:
    """Whether the note of a case says that refusing it is as good as what it expects."""
    note = case.get("note", "").lower()
    return bool(_REFUSING.search(note) and _ALLOWING.search(note))
