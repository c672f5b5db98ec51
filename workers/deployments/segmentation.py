"""Deployment ``segmentation``: assigns rows to segments."""

from __future__ import annotations

from workers.deployments.base import Replica


class SegmentationReplica(Replica):
    """Scores rows with segmentation models: ``segment`` (index) and ``distance``."""

    deployment = "segmentation"
    kind = "segmentation"
    methods = frozenset({"score"})
