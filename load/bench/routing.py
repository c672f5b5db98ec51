"""What finding a route costs: ``make bench-routing`` prints each figure beside its budget.

Times are CPU time of the thread, the best of several runs. The table is the product's own, with every route
of the public API; hostile paths are matched against it as they stand, though the door refuses a request line
over 16 KiB (414) before it looks for a route.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from cohortlens.cli.output import table
from gateway.composition import public_table
from gateway.http.routes import RouteTable, build_routes
from load.bench.codec import Figure

_VALUE: Final = "0193b0a0-0000-7000-8000-000000000003"
_LONG: Final = 64_000
_BUDGET_US: Final = 5.0
_BUDGET_MS: Final = 50.0
_ROUNDS: Final = 7


def main() -> int:
    """Measure, print the table; 1 when a budget is missed by more than 25 %."""
    routes = build_routes(public_table(with_reflection=False))
    figures = [*_own(routes), *_hostile(routes)]
    sys.stdout.write(f"{len(routes.routes)} routes\n")
    sys.stdout.write(table([one.row() for one in figures], ["figure", "measured", "budget", ""]) + "\n")
    return int(any(one.missed for one in figures))


def _own(routes: RouteTable) -> list[Figure]:
    """Each route by a path of its own, and a path that none has."""
    lines = [(one.rule.verb, _path(one.rule.template.text)) for one in routes.routes]
    router = routes.router
    for route, (verb, path) in zip(routes.routes, lines, strict=True):
        match = router.match(verb, path)
        assert match is not None, path
        assert match.target is route, path
    each = [_best_us(lambda line=line: router.match(*line), 200) for line in lines]  # type: ignore[misc]
    nothing = _best_us(lambda: router.match("GET", f"/api/v1/customers/{_VALUE}/nothing"), 200)
    return [
        Figure("a match, median of all routes", statistics.median(each), "us", _BUDGET_US),
        Figure("a match, dearest route", max(each), "us", _BUDGET_US),
        Figure("no match", nothing, "us", _BUDGET_US),
    ]


def _path(template: str) -> str:
    """A path of a template of the product: every variable is one segment there, or all up to its literals."""
    path, rest = "", template
    while rest:
        head, opened, inner = rest.partition("{")
        variable, _, rest = inner.partition("}")
        pattern = variable.partition("=")[2] or "*"
        path += head + (pattern.replace("**", _VALUE).replace("*", _VALUE) if opened else "")
    return path


def _hostile(routes: RouteTable) -> list[Figure]:
    prefix = "/api/v1/customers/"
    paths = {
        f"{_LONG:,} slashes": "/" * _LONG,
        f"{_LONG:,} slashes below a route": prefix + "/" * _LONG,
        f"{_LONG:,} colons": prefix + ":" * _LONG,
        f"{_LONG // 9:,} verbs": prefix + ":features" * (_LONG // 9),
        f"{_LONG // 3:,} escapes": prefix + "%2F" * (_LONG // 3),
    }
    return [
        Figure(name, _best_us(lambda path=path: _asked(routes, path), 1) / 1000, "ms", _BUDGET_MS)  # type: ignore[misc]
        for name, path in paths.items()
    ]


def _asked(routes: RouteTable, path: str) -> list[str]:
    """All that the door asks of a path: its route, and else the methods it has."""
    routes.router.match("GET", path)
    return routes.router.methods(path)


def _best_us(call: Callable[[], Any], calls: int) -> float:
    """CPU time of one call in microseconds."""
    found = []
    for _ in range(_ROUNDS):
        began = time.thread_time_ns()
        for _ in range(calls):
            call()
        found.append((time.thread_time_ns() - began) / calls / 1000)
    return min(found)


if __name__ == "__main__":
    sys.exit(main())
