"""Deployment ``prediction``: predicts purchases and spend over a horizon."""

from __future__ import annotations

from workers.deployments.base import Replica


class PredictionReplica(Replica):
    """Scores rows with prediction models: ``value``, ``lower`` and ``upper`` of a target."""

    deployment = "prediction"
    kind = "prediction"
    methods = frozenset({"score"})
