"""Settings from the environment: one frozen dataclass per process, every fault reported in one go.

Declare a field with ``setting``; build the dataclass with ``read``. Standard library only, so workers and
sidecar use the same reader. A secret is masked wherever it is printed and can be given as a file through
``NAME_FILE``.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_type_hints
from urllib.parse import urlsplit

PREFIX = "COHORTLENS_"
ConfigT = TypeVar("ConfigT")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FLAGS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


class Secret(str):
    """A text that prints as ``****``; ``reveal`` gives the real one."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(****)"

    def __str__(self) -> str:
        return "****"

    def __format__(self, spec: str) -> str:
        return format("****", spec)

    def reveal(self) -> str:
        """The secret itself."""
        return str.__str__(self)


class Url(str):
    """A URL; its password prints as ``****``."""

    __slots__ = ()

    def masked(self) -> str:
        """The URL without its password, for logs and errors."""
        return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:****@", str(self))

    def __repr__(self) -> str:
        return f"Url({self.masked()!r})"


class Duration(float):
    """Seconds, written as ``250ms``, ``10s``, ``5m``, ``2h`` or ``1d``."""

    __slots__ = ()


class SettingsInvalid(Exception):
    """One or more settings cannot be used.

    Attributes:
        faults: One sentence per fault: name, value (secrets masked), expected form.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def setting(name: str, default: Any, meaning: str, *, choices: tuple[str, ...] = ()) -> Any:
    """Declare a setting as a field of a configuration dataclass.

    Args:
        name: Name without the prefix ``COHORTLENS_``.
        default: Value when unset, of the field's type; a secret's default is empty.
        meaning: What it sets, for ``.env.example`` and the reference.
        choices: The only texts allowed, if limited.
    """
    return dataclasses.field(
        default=default, metadata={"setting": PREFIX + name, "meaning": meaning, "choices": choices}
    )


def read(cls: type[ConfigT], environ: Mapping[str, str]) -> ConfigT:
    """Build ``cls`` from the environment.

    Raises:
        SettingsInvalid: Every fault of every setting of ``cls``.
    """
    hints, faults, values = get_type_hints(cls), [], {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name = field.metadata["setting"]
        try:
            text = _raw(name, environ)
            values[field.name] = field.default if text is None else _parse(text, hints[field.name], field)
        except ValueError as fault:
            # A URL that cannot be read may hold a password somewhere.
            shown = "****" if hints[field.name] in (Secret, Url) else repr(environ.get(name, ""))
            faults.append(f"{name}={shown}: {fault}")
    if faults:
        raise SettingsInvalid(faults)
    return cls(**values)


def unknown_settings(environ: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """One sentence for each ``COHORTLENS_*`` variable that nothing reads, naming the nearest known one."""
    names = set(known)
    names |= {f"{name}_FILE" for name in names}
    faults = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            faults.append(f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else ""))
    return faults


def setting_names(*classes: type[Any]) -> set[str]:
    """Names of all settings that ``classes`` declare."""
    return {field.metadata["setting"] for cls in classes for field in dataclasses.fields(cls)}


def _raw(name: str, environ: Mapping[str, str]) -> str | None:
    text, file = environ.get(name), environ.get(f"{name}_FILE")
    if text is not None and file is not None:
        raise ValueError(f"{name} and {name}_FILE are both set; keep one")
    if file is None:
        return text or None
    try:
        return Path(file).read_text(encoding="utf-8").strip() or None
    except OSError as error:
        raise ValueError(f"{name}_FILE cannot be read: {error.strerror}") from error


def _parse(text: str, kind: Any, field: dataclasses.Field[Any]) -> Any:
    choices = field.metadata["choices"]
    if choices and text not in choices:
        raise ValueError(f"expected one of {', '.join(choices)}")
    if isinstance(kind, UnionType):
        kind = next(part for part in get_args(kind) if part is not NoneType)
    return _PARSERS[kind](text)


def _flag(text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValueError("expected true or false")
    return _FLAGS[text.lower()]


def _whole(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise ValueError("expected a whole number")
    return int(text)


def _url(text: str) -> Url:
    if not urlsplit(text).scheme:
        raise ValueError("expected a URL such as scheme://host:port/path")
    return Url(text)


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _duration(text: str) -> Duration:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("expected a duration such as 250ms, 10s, 5m, 2h or 1d")
    return Duration(float(match[1]) * _UNITS_S[match[2]])


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("expected a number") from None
    if not math.isfinite(value):
        raise ValueError("expected a finite number")
    return value


_PARSERS: dict[Any, Callable[[str], Any]] = {
    bool: _flag,
    int: _whole,
    float: _finite,
    str: str,
    Duration: _duration,
    Url: _url,
    Path: _path,
    Secret: Secret,
}
