"""Questions of the closed list, normalised: what means the same is the same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import rfc8785

from cohortlens.marketplace.models import QueryNotAllowed, Spec
from cohortlens.marketplace.specs import AMOUNTS, COUNT

MOST_DIMENSIONS: Final = 2
MOST_CELLS: Final = 1_000


@dataclass(frozen=True)
class Question:
    """A question in its normal form.

    Attributes:
        measures: Sorted, each once.
        dimensions: Sorted, each once, at most two.
        filters: Dimension and its sorted values, sorted by dimension; one that keeps every offered value
            stays, since it leaves out customers without one.
    """

    measures: tuple[str, ...]
    dimensions: tuple[str, ...]
    filters: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def asks_amount(self) -> bool:
        """Whether sums are needed."""
        return bool(set(self.measures) & set(AMOUNTS))

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "measures": list(self.measures),
            "dimensions": list(self.dimensions),
            "filters": [{"dimension": name, "values": list(values)} for name, values in self.filters],
        }

    def sha256(self) -> bytes:
        """Digest of the RFC 8785 bytes."""
        return hashlib.sha256(rfc8785.dumps(self.stored())).digest()

    def cells(self, spec: Spec) -> list[tuple[str, ...]]:
        """All cells of the closed list, in a fixed order."""
        kept = dict(self.filters)
        lists = [kept.get(name) or sorted(_offered(spec, name, "dimensions")) for name in self.dimensions]
        return list(product(*lists))


def normalised(
    spec: Spec, measures: list[str], dimensions: list[str], filters: list[tuple[str, list[str]]]
) -> Question:
    """The question in its normal form.

    Raises:
        QueryNotAllowed: It is not in the closed list of the offer; names the field.
    """
    allowed = {COUNT, *spec.measures}
    asked = set(measures)
    if not asked or not asked <= allowed:
        raise QueryNotAllowed("question.measures", f"must be among {', '.join(sorted(allowed))}")
    names = sorted(set(dimensions))
    if len(names) > MOST_DIMENSIONS:
        raise QueryNotAllowed("question.dimensions", f"must be at most {MOST_DIMENSIONS}")
    for name in names:
        _offered(spec, name, "dimensions")
    kept: dict[str, set[str]] = {}
    for at, (name, values) in enumerate(filters):
        offered = _offered(spec, name, f"filters[{at}].dimension")
        if not values or not set(values) <= set(offered):
            raise QueryNotAllowed(f"question.filters[{at}].values", "must be values that are offered")
        # Two filters on one dimension keep what both keep.
        kept[name] = kept.get(name, set(values)) & set(values)
    if any(not values for values in kept.values()):
        raise QueryNotAllowed("question.filters", "keep nobody: two of them contradict each other")
    # The count is part of every answer, so asking for it beside an amount changes nothing.
    question = Question(
        tuple(sorted(asked | {COUNT})),
        tuple(names),
        tuple((name, tuple(sorted(values))) for name, values in sorted(kept.items())),
    )
    if len(question.cells(spec)) > MOST_CELLS:
        raise QueryNotAllowed(
            "question.dimensions", f"give more than {MOST_CELLS} cells; filter their values"
        )
    return question


def _offered(spec: Spec, name: str, path: str) -> tuple[str, ...]:
    found = spec.dimension(name)
    if found is None:
        names = ", ".join(one.name for one in spec.dimensions)
        raise QueryNotAllowed(f"question.{path}", f"must be among {names}")
    return found.values
