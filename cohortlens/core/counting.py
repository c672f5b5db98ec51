"""Series of the request's path: counted in plain numbers, turned into Prometheus' form when they are scraped.

The client library's own counters take a lock at every step, which costs more than the counting. These take
none, so one thread alone may write to a series: that of the event loop. Any thread may read.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString


class Tally:
    """One series of a counter or a gauge.

    Attributes:
        value: Where it stands; the request's path may add to it directly.
    """

    __slots__ = ("made_at", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.made_at = time.time()

    def inc(self, amount: float = 1) -> None:
        """Add to it."""
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        """Take from it; a gauge only."""
        self.value -= amount

    def set(self, value: float) -> None:
        """Set it; a gauge only."""
        self.value = value


class Distribution:
    """One series of a histogram.

    Attributes:
        counts: Observations of each bucket by itself, the last beyond all bounds.
        sum: Sum of what was observed.
    """

    __slots__ = ("bounds", "counts", "made_at", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.made_at = time.time()

    def observe(self, value: float) -> None:
        """Note one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


SeriesT = TypeVar("SeriesT", Tally, Distribution)


class _Family(Collector, Generic[SeriesT]):
    """All series of one name.

    Args:
        name: Name, as the client library takes it.
        documentation: What it counts.
        labels: Names of the labels.
        registry: Where it is scraped.
        make: Makes a series.
    """

    kind = ""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        registry: CollectorRegistry,
        make: Callable[[], SeriesT],
    ) -> None:
        self._name = name.removesuffix("_total") if self.kind == "counter" else name
        self._documentation = documentation
        self._label_names = tuple(labels)
        self._make: Callable[[], SeriesT] = make
        self._series: dict[tuple[str, ...], SeriesT] = {}
        registry.register(self)

    def labels(self, *values: object) -> SeriesT:
        """The series of these values of the labels, made when there is none; keep it to count often."""
        key = tuple(map(str, values))
        if len(key) != len(self._label_names):
            raise ValueError(f"{self._name} has the labels {', '.join(self._label_names)}; got {key}")
        found = self._series.get(key)
        return found if found is not None else self._series.setdefault(key, self._make())

    def describe(self) -> Iterable[Metric]:
        """The family without its series."""
        return [self._metric()]

    def collect(self) -> Iterable[Metric]:
        """The family as it stands."""
        metric = self._metric()
        for values, series in list(self._series.items()):
            labels = dict(zip(self._label_names, values, strict=True))
            metric.samples.extend(self._samples(labels, series))
        return [metric]

    def _metric(self) -> Metric:
        return Metric(self._name, self._documentation, self.kind)

    def _samples(self, labels: dict[str, str], series: SeriesT) -> list[Sample]:
        raise NotImplementedError


class Counter(_Family[Tally]):
    """A family of counters."""

    kind = "counter"

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], *, registry: CollectorRegistry
    ) -> None:
        super().__init__(name, documentation, labels, registry, Tally)

    def _samples(self, labels: dict[str, str], series: Tally) -> list[Sample]:
        return [
            Sample(f"{self._name}_total", labels, series.value),
            Sample(f"{self._name}_created", labels, series.made_at),
        ]


class Gauge(_Family[Tally]):
    """A family of gauges."""

    kind = "gauge"

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], *, registry: CollectorRegistry
    ) -> None:
        super().__init__(name, documentation, labels, registry, Tally)

    def _samples(self, labels: dict[str, str], series: Tally) -> list[Sample]:
        return [Sample(self._name, labels, series.value)]


class Histogram(_Family[Distribution]):
    """A family of histograms.

    Args:
        buckets: Upper bounds, ascending, without infinity.
    """

    kind = "histogram"

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        bounds = tuple(map(float, buckets))
        super().__init__(name, documentation, labels, registry, lambda: Distribution(bounds))
        self._shown_bounds = [*map(floatToGoString, bounds), "+Inf"]

    def _samples(self, labels: dict[str, str], series: Distribution) -> list[Sample]:
        reached = list(accumulate(series.counts))
        samples = [
            Sample(f"{self._name}_bucket", {**labels, "le": bound}, float(count))
            for bound, count in zip(self._shown_bounds, reached, strict=True)
        ]
        return [
            *samples,
            Sample(f"{self._name}_count", labels, float(reached[-1])),
            Sample(f"{self._name}_sum", labels, series.sum),
            Sample(f"{self._name}_created", labels, series.made_at),
        ]
