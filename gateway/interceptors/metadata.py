"""Request metadata, decoded as far as somebody reads it: of a dozen headers a call looks at five."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RawHeaders = Sequence[tuple[bytes, bytes]]


class Metadata:
    """Values by lower-case name, in order; those of ``-bin`` names stay base64.

    Args:
        raw: Names and values as they came; the names in lower case, as HTTP/2 has them.
    """

    __slots__ = ("_last", "_raw")

    def __init__(self, raw: RawHeaders) -> None:
        self._raw = raw
        self._last = dict(raw)

    def first(self, name: str) -> str | None:
        """The first value of ``name``; None when there is none."""
        value = self._last.get(name.encode())
        if value is None:
            return None
        # Names are hardly ever repeated; only then is the last value not the first.
        return value.decode("latin-1") if len(self._last) == len(self._raw) else self.values(name)[0]

    def values(self, name: str) -> list[str]:
        """All values of ``name``."""
        wanted = name.encode()
        if len(self._last) == len(self._raw):
            value = self._last.get(wanted)
            return [] if value is None else [value.decode("latin-1")]
        return [value.decode("latin-1") for one, value in self._raw if one == wanted]

    def decoded(self) -> dict[str, list[str]]:
        """All of it."""
        names = dict.fromkeys(name for name, _ in self._raw)
        return {name.decode("latin-1"): self.values(name.decode("latin-1")) for name in names}


class DecodedMetadata(Metadata):
    """Metadata whose values were decoded already.

    Args:
        values: Values by lower-case name.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self._values = values

    def first(self, name: str) -> str | None:
        """The first value of ``name``; None when there is none."""
        found = self._values.get(name)
        return found[0] if found else None

    def values(self, name: str) -> list[str]:
        """All values of ``name``."""
        return list(self._values.get(name, ()))

    def decoded(self) -> dict[str, list[str]]:
        """All of it."""
        return {name: list(values) for name, values in self._values.items()}
