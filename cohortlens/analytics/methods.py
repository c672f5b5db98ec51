"""Methods of explanation, and what each needs."""

from __future__ import annotations

from enum import StrEnum


class Method(StrEnum):
    """How a prediction is explained."""

    SHAP = "SHAP"
    LIME = "LIME"
    COUNTERFACTUAL = "COUNTERFACTUAL"

    @property
    def feature(self) -> str:
        """Feature of a plan that it needs."""
        return "explain.shap" if self is Method.SHAP else "explain.lime"


def chosen(asked: Method | None, default: str, features: frozenset[str] | set[str]) -> Method:
    """The method of a call.

    Args:
        asked: What the caller names; None leaves it to the installation.
        default: ``shap`` or ``lime``, the setting of the installation.
        features: What the caller's plan contains.

    Returns:
        The method named, or the installation's if the plan contains it, else SHAP.
    """
    if asked is not None:
        return asked
    wanted = Method(default.upper())
    return wanted if wanted.feature in features else Method.SHAP
