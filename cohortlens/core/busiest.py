"""Calls by tenant with a bound: the busiest by name, the rest together.

A tenant has a series of its own while it holds one of the seats. Seats change hands between scrapes, a few at
a time: what a tenant counted before goes to ``other`` with it, so that no counter ever falls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

SEATS = 50
OTHER = "other"

_WATCHED = 2_000
_EVERY_S = 60.0
_MOVES = 5
_BUSIER = 2.0


class Busiest(Collector):
    """A counter of which the busiest values of its label have series of their own.

    Only the thread of the event loop may count; any thread may read.

    Args:
        name: Name of the counter.
        documentation: What it counts.
        label: Name of the label.
        registry: Where it is scraped.
        seats: Most values with a series of their own.
        clock: Monotonic time.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        label: str,
        *,
        registry: CollectorRegistry,
        seats: int = SEATS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name.removesuffix("_total")
        self._documentation = documentation
        self._label_names = (label,)
        self._seats = seats
        self._clock = clock
        self._seated: dict[str, int] = {}
        self._other = 0
        # Calls since the seats were last given; those of tenants beyond the bound are in ``_other`` alone.
        self._lately: dict[str, int] = {}
        self._due = clock() + _EVERY_S
        registry.register(self)

    def inc(self, value: str) -> None:
        """Count one call of ``value``."""
        seated, lately = self._seated, self._lately
        if value in seated:
            seated[value] += 1
        elif len(seated) < self._seats:
            seated[value] = 1
        else:
            self._other += 1
        if value in lately:
            lately[value] += 1
        elif len(lately) < _WATCHED:
            lately[value] = 1
        if self._clock() >= self._due:
            self._give_seats()

    def _give_seats(self) -> None:
        """Give the seats of the quietest to the busiest that have none, if those are clearly busier."""
        self._due = self._clock() + _EVERY_S
        lately, self._lately = self._lately, {}
        waiting = sorted((one for one in lately if one not in self._seated), key=lately.__getitem__)
        quiet = sorted(self._seated, key=lambda one: lately.get(one, 0))
        for leaving in quiet[:_MOVES]:
            if not waiting or lately[waiting[-1]] <= _BUSIER * lately.get(leaving, 0):
                return
            self._other += self._seated.pop(leaving)
            self._seated[waiting.pop()] = 0

    def describe(self) -> Iterable[Metric]:
        """The family without its series."""
        return [CounterMetricFamily(self._name, self._documentation, labels=self._label_names)]

    def collect(self) -> Iterable[Metric]:
        """The family as it stands: at most the seats and ``other``."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._label_names)
        for value, count in list(self._seated.items()):
            family.add_metric([value], count)
        family.add_metric([OTHER], self._other)
        return [family]
