"""The options of ``predict`` and ``predict-batch`` that say how a prediction is asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from cohortlens.contracts.asks import DEFAULT_DISCOUNT, DEFAULT_LEVEL, LEVELS
from cohortlens.v1 import analytics_pb2

_LOSSES = {"rmse": analytics_pb2.PREDICTION_LOSS_RMSE, "mae": analytics_pb2.PREDICTION_LOSS_MAE}
BASES = {
    number: name.removeprefix("PREDICTION_BASIS_").lower()
    for name, number in analytics_pb2.PredictionBasis.items()
}
"""What a value rests on, by the number of the enumeration."""


def asks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--level``, ``--loss`` and ``--discount`` to a command, which gets them as ``asked``.

    Args:
        command: Takes ``asked``, fields of a request beside task and horizon.
    """

    @click.option(
        "--level",
        type=click.Choice([f"{level:g}" for level in LEVELS]),
        default=f"{DEFAULT_LEVEL:g}",
        show_default=True,
        help="Share of outcomes that the interval covers.",
    )
    @click.option(
        "--loss",
        type=click.Choice(sorted(_LOSSES, reverse=True)),
        default="rmse",
        show_default=True,
        help="rmse for a mean, mae for a median.",
    )
    @click.option(
        "--discount",
        type=click.FloatRange(0.0, 1.0),
        default=DEFAULT_DISCOUNT,
        show_default=True,
        help="Discount of money in a year, for --task clv.",
    )
    @wraps(command)
    def asking(*args: Any, level: str, loss: str, discount: float, **others: Any) -> Any:
        asked = {
            "level_ratio": float(level),
            "loss": _LOSSES[loss],
            "annual_discount_ratio": discount,
        }
        return command(*args, asked=asked, **others)

    return asking
