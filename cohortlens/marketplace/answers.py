"""From true figures to what may be told: noise for every cell, suppression, canonical bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import rfc8785

from cohortlens.marketplace.models import Spec
from cohortlens.marketplace.privacy import DELTA, expected_error, release
from cohortlens.marketplace.questions import Question
from cohortlens.marketplace.specs import MEAN, SUM

DELTA_MICRO: Final = int(DELTA * 1_000_000)


def answer_of(
    spec: Spec,
    question: Question,
    revision: int,
    cells: Mapping[tuple[str, ...], tuple[int, int]],
    currency: str,
) -> bytes:
    """The answer as RFC 8785 bytes, with fresh noise in every cell of the closed list, empty ones too.

    Args:
        spec: What is offered, as published.
        question: The question.
        revision: Data revision of the figures.
        cells: True persons and clipped sum by cell; cells without anybody may be missing.
        currency: Of the amounts.
    """
    shown = []
    for values in question.cells(spec):
        persons, total = cells.get(values, (0, 0))
        released = release(
            persons,
            total if question.asks_amount else None,
            epsilon_milli=spec.epsilon_milli,
            clip_minor=spec.clip_minor,
            least_persons=spec.least_persons,
        )
        shown.append({"values": list(values), **_figures(question, released.count, released.total)})
    shares = question.asks_amount
    return rfc8785.dumps(
        {
            "revision": revision,
            "dimensions": list(question.dimensions),
            "cells": shown,
            "count_error": expected_error(spec.epsilon_milli, is_shared=shares),
            "sum_error_minor": (
                expected_error(spec.epsilon_milli, sensitivity=spec.clip_minor, is_shared=True)
                if shares
                else 0
            ),
            "currency": currency if shares else "",
            "epsilon_milli": spec.epsilon_milli,
            "delta_micro": DELTA_MICRO,
        }
    )


def is_empty(answer: Mapping[str, Any]) -> bool:
    """Whether nothing may be said of any cell."""
    return all(one.get("suppressed") for one in answer["cells"])


def _figures(question: Question, count: int | None, total: int | None) -> dict[str, Any]:
    if count is None:
        return {"suppressed": True}
    figures: dict[str, Any] = {"count": count}
    if total is not None and SUM in question.measures:
        figures["sum_minor"] = total
    if total is not None and MEAN in question.measures:
        # Of two figures that may be told, so the mean may be told too; whole units, rounded down.
        figures["mean_minor"] = total // max(count, 1)
    return figures
