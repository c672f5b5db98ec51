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

    @classmethod
    def of(cls, values: Mapping[str, Sequence[str]]) -> Metadata:
        """Metadata of values that are decoded already."""
        return cls(
            [
                (name.encode(), value.encode("latin-1", "replace"))
                for name, all_ in values.items()
                for value in all_
            ]
        )

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
