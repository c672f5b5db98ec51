"""What a format of vectors gives to the runner: cases, and what is wrong in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Case:
    """One comparison of a vector file; passed when nothing is wrong.

    Attributes:
        name: Names it inside its file, such as ``amount/psi``.
        faults: One text for each failing field, ``expected .., found .., difference ..``.
    """

    name: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vector:
    """One vector file.

    Attributes:
        path: Where it lies.
        content: What it holds, an object of JSON.
        folders: Where the data files it names are sought, first hit wins.
        root: The folder of the whole run, for formats whose files belong together.
    """

    path: Path
    content: Mapping[str, Any]
    folders: tuple[Path, ...]
    root: Path


@dataclass(frozen=True)
class Format:
    """A kind of vector file.

    Attributes:
        name: Shown beside the count of each file.
        recognises: Whether content is of this kind.
        cases: Computes everything again. What it raises is one failed case.
        stems: Names of files, without ending, that are of this kind whatever they hold.
    """

    name: str
    recognises: Callable[[Mapping[str, Any]], bool]
    cases: Callable[[Vector], Iterator[Case]]
    stems: frozenset[str] = frozenset()


def differing(
    expected: object, found: object, *, absolute: float = 0.0, relative: float = 0.0
) -> tuple[str, ...]:
    """What to say when two values differ; nothing when they agree.

    Args:
        expected: Value of the vector: a number, a text, None.
        found: Ours.
        absolute: Difference allowed between numbers.
        relative: Share of the expected number that is allowed; the larger of both counts.
    """
    if _is_number(expected) and _is_number(found):
        wanted, ours = float(str(expected)), float(str(found))
        difference = abs(wanted - ours)
        # A NaN is never near anything: `not <=` also catches it.
        if not difference <= max(absolute, relative * abs(wanted)) or not math.isfinite(ours):
            return (f"expected {expected}, found {found}, difference {ours - wanted:.3g}",)
        return ()
    if type(expected) is type(found) and expected == found:
        return ()
    return (f"expected {expected!r}, found {found!r}",)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
