"""Routes of the API: method, path and the parameters that each acts on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cohortlens.embedded.stripe import forms
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.provider import Provider

Handler = Callable[["Call"], Object]


@dataclass(frozen=True)
class Call:
    """One request to the API.

    Attributes:
        provider: The provider.
        path: Path without query.
        ids: What stood in the path's places, in order.
        params: Decoded parameters.
    """

    provider: Provider
    path: str
    ids: tuple[str, ...]
    params: dict[str, Any]

    @property
    def id(self) -> str:
        """The first of ``ids``."""
        return self.ids[0]


@dataclass(frozen=True)
class Route:
    """One operation.

    Attributes:
        method: HTTP method.
        pattern: Path with ``{id}`` in its places.
        handler: Does it; inside a transaction.
        known: Parameters it acts on.
    """

    method: str
    pattern: str
    handler: Handler
    known: frozenset[str]

    def run(self, call: Call) -> Object:
        """Check the names of the parameters and do it."""
        forms.check_known(call.params, self.known)
        return self.handler(call)


def route(method: str, pattern: str, handler: Handler, known: str = "") -> Route:
    """A route; ``known`` are the names of its parameters, apart by blanks."""
    return Route(method, pattern, handler, frozenset(known.split()))


class Routes:
    """All of them.

    Args:
        routes: Routes; of two that fit, the first is taken.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = [(one, re.compile(re.sub(r"\{id\}", "([^/]+)", one.pattern))) for one in routes]

    def find(self, method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
        """The route of a request and what stood in its places."""
        for one, pattern in self._routes:
            if one.method == method and (found := pattern.fullmatch(path)):
                return one, found.groups()
        return None
