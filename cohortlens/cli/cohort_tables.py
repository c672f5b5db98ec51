"""How cohorts, survival and retention are shown by the command line: data for programs, tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cohortlens.cli.output import table
from cohortlens.v1 import cohorts_pb2 as pb

_SHOWN = 13


def cohort_data(one: pb.Cohort) -> dict[str, Any]:
    """One cohort for programs; null where a period is not over."""
    return {
        "key": one.key,
        "name": one.name,
        "size": one.size,
        "cells": [
            {
                "value": cell.value if cell.HasField("value") else None,
                "per_customer": cell.per_customer if cell.HasField("per_customer") else None,
                "observed": cell.observed,
            }
            for cell in one.cells
        ],
    }


def cohort_text(reply: pb.QueryCohortsResponse, *, is_share: bool) -> str:
    """The matrix for people: the first periods, and all cohorts together below."""
    shown = min(reply.periods, _SHOWN)
    if not reply.cohorts:
        return "no orders yet"

    def line(name: str, one: pb.Cohort) -> list[str]:
        return [name, f"{one.size}", *(_cell_text(cell, is_share=is_share) for cell in one.cells[:shown])]

    rows = [line(one.name or "(unknown)", one) for one in reply.cohorts] + [line("all", reply.total)]
    head = ["cohort", "customers", *(str(k) for k in range(shown))]
    more = f"; {reply.periods - shown} more periods with --json" if reply.periods > shown else ""
    unit = "share of customers" if is_share else reply.unit
    note = f"{unit}; data until {reply.data_as_of}, {reply.time_zone}{more}"
    return f"{table(rows, head, frozenset(range(1, shown + 2)))}\n{note}"


def _cell_text(cell: pb.CohortCell, *, is_share: bool) -> str:
    if not cell.HasField("value"):
        return ""
    return f"{cell.per_customer:.1%}" if is_share else f"{cell.value:,.2f}".removesuffix(".00")


def step_data(step: pb.SurvivalStep) -> dict[str, Any]:
    """One step of a survival curve for programs."""
    return {
        "day": step.day,
        "at_risk": step.at_risk,
        "events": step.events,
        "survival": step.survival,
        "lower": step.lower if step.HasField("lower") else None,
        "upper": step.upper if step.HasField("upper") else None,
    }


def share_at(curve: pb.SurvivalCurve, day: int) -> str:
    """Share without the event behind a day, for people."""
    steps: Sequence[pb.SurvivalStep] = [step for step in curve.steps if step.day <= day]
    return f"{steps[-1].survival:.1%}" if steps else "100.0%"


def projection_data(one: pb.RetentionProjection) -> dict[str, Any]:
    """One projection for programs."""
    return {
        "key": one.key,
        "name": one.name,
        "size": one.size,
        "observed_periods": one.observed_periods,
        "alpha": one.alpha if one.HasField("alpha") else None,
        "beta": one.beta if one.HasField("beta") else None,
        "boundary": one.boundary,
        "reason": one.reason,
        "points": [
            {
                "period": point.period,
                "observed": point.observed if point.HasField("observed") else None,
                "projected": point.projected,
                "lower": point.lower,
                "upper": point.upper,
                "at_risk": point.at_risk,
            }
            for point in one.points
        ],
    }


def projection_text(one: pb.RetentionProjection) -> str:
    """One projection for people."""
    title = f"{one.name or 'all'}: {one.size} customers"
    if one.reason:
        return f"{title}; {one.reason}: nobody was seen for two periods yet"
    rows = [
        [
            f"{point.period}",
            f"{point.observed:.1%}" if point.HasField("observed") else "",
            f"{point.projected:.1%}",
            f"{point.lower:.1%} - {point.upper:.1%}",
        ]
        for point in one.points
    ]
    return f"{title}\n{table(rows, ['period', 'observed', 'projected', 'interval'], frozenset(range(4)))}"
