"""Deployment ``explanation``: attributes predictions to features."""

from __future__ import annotations

import importlib

from workers.deployments.base import Replica
from workers.pandas_import import show_pandas
from workers.runtime.lime_explainer import lime_base


class ExplanationReplica(Replica):
    """Explains rows with prediction models, and scores them, so that one place can check additivity."""

    deployment = "explanation"
    kind = "prediction"
    methods = frozenset({"score", "explain"})

    def warm(self) -> None:
        """Import the explainers, which takes seconds."""
        show_pandas()
        importlib.import_module("shap")
        lime_base()
