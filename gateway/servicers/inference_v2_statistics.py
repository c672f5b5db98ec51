"""What this process scored by the Open Inference Protocol since it started, per tenant, model and version.

Kept in memory: another process of the gateway has counts of its own, and a restart begins at zero.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cohortlens.core.clock import now
from cohortlens.core.ids import TenantId
from cohortlens.oip import inference_pb2 as pb

_VERSIONS_MOST: Final = 5_000
_SIZES_MOST: Final = 32


class Times(NamedTuple):
    """Nanoseconds of one answered request by stage."""

    read: int
    score: int
    write: int


@dataclass(slots=True)
class _Stages:
    """Requests and their times by stage, nanoseconds."""

    requests: int = 0
    read: int = 0
    score: int = 0
    write: int = 0

    def add(self, times: Times) -> None:
        self.requests += 1
        self.read += times.read
        self.score += times.score
        self.write += times.write


@dataclass(slots=True)
class _Counts:
    """Counts of one version; ``sizes`` holds the sizes of requests that were used last, in rows."""

    rows: int = 0
    failed: int = 0
    failed_ns: int = 0
    last_ms: int = 0
    stages: _Stages = field(default_factory=_Stages)
    sizes: OrderedDict[int, _Stages] = field(default_factory=OrderedDict)


class Statistics:
    """Counts by tenant, model and version; those not called for longest are dropped beyond 5,000."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[TenantId, str, int], _Counts] = OrderedDict()

    def succeeded(self, tenant: TenantId, model: str, version: int, rows: int, times: Times) -> None:
        """Count an answered request."""
        counts = self._of(tenant, model, version)
        counts.rows += rows
        counts.stages.add(times)
        counts.last_ms = int(now().timestamp() * 1000)
        size = counts.sizes.get(rows)
        if size is None:
            size = counts.sizes[rows] = _Stages()
            if len(counts.sizes) > _SIZES_MOST:
                counts.sizes.popitem(last=False)
        else:
            counts.sizes.move_to_end(rows)
        size.add(times)

    def failed(self, tenant: TenantId, model: str, version: int, spent_ns: int) -> None:
        """Count a request of a known version that failed."""
        counts = self._of(tenant, model, version)
        counts.failed += 1
        counts.failed_ns += spent_ns

    def called(self, tenant: TenantId, model: str) -> list[int]:
        """Versions of a model that the tenant has called, ascending."""
        return sorted(version for who, name, version in self._counts if (who, name) == (tenant, model))

    def message(self, tenant: TenantId, model: str, version: int) -> pb.ModelStatistics:
        """The counts of one version, all zero when it was never called."""
        counts = self._counts.get((tenant, model, version), _Counts())
        stages = counts.stages
        reply = pb.ModelStatistics(
            name=model,
            version=str(version),
            last_inference=counts.last_ms,
            inference_count=counts.rows,
            execution_count=stages.requests,
        )
        whole = stages.read + stages.score + stages.write
        inference = reply.inference_stats
        _set(inference.success, stages.requests, whole)
        _set(inference.fail, counts.failed, counts.failed_ns)
        _set_stages(inference, stages)
        for rows, size in sorted(counts.sizes.items()):
            _set_stages(reply.batch_stats.add(batch_size=rows), size)
        return reply

    def _of(self, tenant: TenantId, model: str, version: int) -> _Counts:
        key = (tenant, model, version)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = _Counts()
            if len(self._counts) > _VERSIONS_MOST:
                self._counts.popitem(last=False)
        else:
            self._counts.move_to_end(key)
        return counts


def _set(duration: pb.StatisticDuration, count: int, ns: int) -> None:
    duration.count, duration.ns = count, ns


def _set_stages(message: pb.InferStatistics | pb.InferBatchStatistics, stages: _Stages) -> None:
    _set(message.compute_input, stages.requests, stages.read)
    _set(message.compute_infer, stages.requests, stages.score)
    _set(message.compute_output, stages.requests, stages.write)
