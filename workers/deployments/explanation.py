"""Deployment ``explanation``: attributes predictions to features."""

from __future__ import annotations

from workers.deployments.base import Replica


class ExplanationReplica(Replica):
    """Explains rows with prediction models, and scores them, so that a caller may check additivity in one place."""

    deployment = "explanation"
    kind = "prediction"
    methods = frozenset({"score", "explain"})
