"""The cases of a vector file one by one: what one of them raises is its own fault and nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.vectors.cases import Case, Vector


def each(vector: Vector, check: Callable[[Mapping[str, Any]], tuple[str, ...]]) -> Iterator[Case]:
    """Check every entry of ``cases``, each under its ``id``."""
    for place, case in enumerate(vector.content["cases"]):
        name = str(case.get("id", place)) if isinstance(case, dict) else str(place)
        try:
            yield Case(name, check(case))
        except Exception as error:  # whatever a case brings about
            yield Case(name, (f"expected a case of this format, found {type(error).__name__}: {error}",))
