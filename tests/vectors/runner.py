"""Runs vector files: finds them, asks the formats, prints what differs and how many cases agree."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.vectors.cases import Case, Format, Vector

PASSED, FAILED, NOTHING = 0, 1, 2
_ENDINGS = ("*.json", "*.jsonld")
_SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def run(
    folder: Path, formats: Sequence[Format], data: Path | None = None, say: Callable[[str], None] = print
) -> int:
    """Run every ``*.json`` and ``*.jsonld`` below a folder.

    Args:
        folder: Searched recursively; a file is known by its name or else by its content.
        formats: Kinds of vectors.
        data: Where data files are sought first; then beside the vector, then in the shared data.
        say: Takes each line.

    Returns:
        0 if all cases passed and there was one, 1 after any difference, 2 if nothing was recognised.
    """
    if not folder.is_dir():
        say(f"error DIR_NOT_FOUND: {folder} is no folder\nnext: make vectors DIR=<folder of vector files>")
        return NOTHING
    passed = failed = 0
    for path in sorted(path for ending in _ENDINGS for path in folder.rglob(ending)):
        shown, results = path.relative_to(folder), list(_results(path, folder, formats, data, say))
        for case in results:
            for fault in case.faults:
                say(f"{shown}/{case.name}: {fault}")
        wrong = sum(bool(case.faults) for case in results)
        if results:
            say(f"{shown}: {len(results) - wrong} passed, {wrong} failed")
        passed, failed = passed + len(results) - wrong, failed + wrong
    if not passed + failed:
        say(f"error NOTHING_RECOGNISED: no vector file below {folder}")
        say(f"next: give DIR a folder with files of one of {', '.join(one.name for one in formats)}")
        return NOTHING
    say(f"{passed} passed, {failed} failed")
    return FAILED if failed else PASSED


def _results(
    path: Path, root: Path, formats: Sequence[Format], data: Path | None, say: Callable[[str], None]
) -> Iterator[Case]:
    try:
        content = json.loads(path.read_bytes(), parse_constant=_no_constant)
    except (ValueError, OSError) as error:
        yield Case("file", (f"expected JSON, found {_told(error)}",))
        return
    kind = _format_of(path.stem, content, formats)
    if kind is None:
        # Cases of a form that nobody can run have not passed; JSON without cases is data of other files.
        unknown = content.get("cases") if isinstance(content, dict) else None
        for place, case in enumerate(unknown if isinstance(unknown, list) else ()):
            name = case.get("id", place) if isinstance(case, dict) else place
            yield Case(str(name), ("expected a known format, found none",))
        if not unknown:
            say(f"{path.name}: not recognised, left out")
        return
    folders = tuple(one for one in (data, path.parent, _SHARED_DATA) if one is not None)
    # Cases that came before a fault stay counted; the fault is one more, failed.
    try:
        ran = False
        for case in kind.cases(Vector(path, content, folders, root)):
            ran = True
            yield case
        if not ran:
            yield Case("file", (f"expected cases of the format {kind.name}, found none",))
    except Exception as error:  # whatever a broken file brings about
        yield Case("file", (f"expected a vector of the format {kind.name}, found {_told(error)}",))


def _format_of(stem: str, content: Any, formats: Sequence[Format]) -> Format | None:
    if not isinstance(content, dict):
        return None
    named = (one for one in formats if stem in one.stems)
    return next(named, None) or next((one for one in formats if one.recognises(content)), None)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name}, which is no JSON")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
