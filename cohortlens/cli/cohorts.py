"""``cohortlens cohorts table | survival | retention``: who came back, who stays and how many will."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cohortlens.cli.cohort_tables import (
    cohort_data,
    cohort_text,
    projection_data,
    projection_text,
    share_at,
    step_data,
)
from cohortlens.cli.output import Fault, table
from cohortlens.cli.session import Session, calls_api
from cohortlens.v1 import cohorts_pb2 as pb

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

BY = ("month", "week", "day", "country", "segment", "first-sku", "attribute")
MEASURES = ("customers", "orders", "revenue", "ltv-per-customer", "margin")


def _population(function: FunctionT) -> FunctionT:
    """The options that say whose orders a question is about."""
    for option in reversed(
        (
            click.option("--by", type=click.Choice(BY), help="What puts customers into one cohort."),
            click.option("--attribute", default="", help="Name of the attribute, with --by attribute."),
            click.option("--time-zone", default="", metavar="ZONE", help="IANA name, such as Europe/Madrid."),
            click.option("--country", "countries", multiple=True, help="Only customers of it; repeatable."),
            click.option("--segment", "segments", multiple=True, help="Only this segment's; repeatable."),
            click.option("--sku", "skus", multiple=True, help="Only lines of this item; repeatable."),
            click.option("--min-amount", type=float, help="Only orders of at least this amount."),
            click.option("--max-amount", type=float, help="Only orders of at most this amount."),
            click.option(
                "--apply-to",
                type=click.Choice(["returns", "definition"]),
                help="Which orders --sku and the amounts are about.",
            ),
            click.option("--first-from", default="", metavar="DAY", help="First order from YYYY-MM-DD on."),
            click.option("--first-to", default="", metavar="DAY", help="First order until YYYY-MM-DD."),
            click.option("--net", is_flag=True, help="Take sales out that came back on the same day."),
        )
    ):
        function = option(function)
    return function


@click.group("cohorts")
def cohorts() -> None:
    """Show who came back, how long customers stay and how many will."""


@cohorts.command("table")
@_population
@click.option("--measure", type=click.Choice(MEASURES), default="customers", show_default=True)
@click.option("--margin-ratio", type=float, help="Share of revenue that is margin, with --measure margin.")
@click.option(
    "--criterion",
    type=click.Choice(["on", "on-or-after", "at-least-n"]),
    default="on",
    show_default=True,
    help="When a customer counts in a period.",
)
@click.option("--at-least", default=0, help="Orders, with --criterion at-least-n.")
@click.option("--align", type=click.Choice(["calendar", "rolling"]), default="calendar", show_default=True)
@click.option("--period", type=click.Choice(["month", "week", "day"]), help="Length of a period.")
@click.option("--periods", default=0, help="Periods, at most 120; as many as were seen when 0.")
@calls_api("cohorts table")
def cohort_table(
    session: Session,
    measure: str,
    margin_ratio: float | None,
    criterion: str,
    at_least: int,
    align: str,
    period: str | None,
    periods: int,
    **population: Any,
) -> None:
    r"""Show one measure by cohort and period; customers as the share that came back.

    \b
    Examples:
      cohortlens cohorts table --align rolling
      cohortlens cohorts table --measure ltv-per-customer --by country --json
    """
    request = pb.QueryCohortsRequest(
        **_asked(population),
        measure=_value("COHORT_MEASURE", measure),
        margin_ratio=margin_ratio,
        criterion=_value("COHORT_CRITERION", criterion),
        at_least=at_least,
        align=_value("COHORT_ALIGN", align),
        period=_value("COHORT_PERIOD", period or "unspecified"),
        periods=periods,
    )
    reply = session.client.call(session.client.analytics.QueryCohorts, request)
    data = {
        "unit": reply.unit,
        "currency": reply.currency,
        "data_as_of": reply.data_as_of,
        "data_revision": reply.data_revision,
        "time_zone": reply.time_zone,
        "periods": reply.periods,
        "cohorts": [cohort_data(one) for one in reply.cohorts],
        "total": cohort_data(reply.total),
    }
    session.out.result(data, cohort_text(reply, is_share=measure == "customers"))


@cohorts.command("survival")
@_population
@click.option(
    "--order", "order_number", default=0, metavar="N", help="Days until the order number N instead."
)
@click.option(
    "--gap", "gap_days", default=0, metavar="DAYS", help="Silence that counts; told by the data when 0."
)
@click.option("--max-days", default=0, help="Days to show; 365 when 0.")
@click.option("--level", "level_ratio", default=0.0, help="Level of the intervals; 0.95 when 0.")
@calls_api("cohorts survival")
def survival(
    session: Session, order_number: int, gap_days: int, max_days: int, level_ratio: float, **population: Any
) -> None:
    r"""Show how long customers stay, or how long the order of a number takes.

    \b
    Examples:
      cohortlens cohorts survival
      cohortlens cohorts survival --order 2 --by country --max-days 180
    """
    request = pb.QuerySurvivalRequest(
        **_asked(population),
        event="SURVIVAL_EVENT_ORDER" if order_number else "SURVIVAL_EVENT_INACTIVITY",
        order_number=order_number,
        gap_days=gap_days,
        max_days=max_days,
        level_ratio=level_ratio,
    )
    reply = session.client.call(session.client.analytics.QuerySurvival, request)
    data = {
        "gap_days": reply.gap_days,
        "order_number": reply.order_number,
        "level_ratio": reply.level_ratio,
        "data_as_of": reply.data_as_of,
        "curves": [
            {
                "key": one.key,
                "name": one.name,
                "size": one.size,
                "events": one.events,
                "median_days": one.median_days if one.HasField("median_days") else None,
                "steps": [step_data(step) for step in one.steps],
            }
            for one in reply.curves
        ],
    }
    rows = [
        [
            one.name or "all",
            f"{one.size}",
            f"{one.events}",
            *(share_at(one, day) for day in (30, 90, 180, 365)),
        ]
        for one in reply.curves
    ]
    head = ["cohort", "customers", "events", "day 30", "day 90", "day 180", "day 365"]
    silence = f"silence: {reply.gap_days} days; " if reply.gap_days else ""
    note = f"{silence}data until {reply.data_as_of or '-'}"
    session.out.result(data, f"{table(rows, head, frozenset(range(1, 7)))}\n{note}")


@cohorts.command("retention")
@_population
@click.option("--survivors", default="", metavar="N,N,...", help="Sizes of a group over time instead.")
@click.option("--periods", default=0, help="Periods, at most 120; twice the observed ones when 0.")
@click.option("--period", type=click.Choice(["month", "week", "day"]), help="30, 7 or 1 days.")
@click.option("--gap", "gap_days", default=0, metavar="DAYS", help="Silence behind which a customer is lost.")
@click.option("--level", "level_ratio", default=0.0, help="Level of the intervals; 0.8 when 0.")
@click.option("--seed", default=0, show_default=True, help="Seed of the bootstrap.")
@calls_api("cohorts retention")
def retention(
    session: Session,
    survivors: str,
    periods: int,
    period: str | None,
    gap_days: int,
    level_ratio: float,
    seed: int,
    **population: Any,
) -> None:
    r"""Show how many customers stay, observed and projected with an interval.

    \b
    Examples:
      cohortlens cohorts retention --periods 24
      cohortlens cohorts retention --survivors 1000,869,743,653,593 --periods 12
    """
    request = pb.ProjectRetentionRequest(
        **_asked(population),
        survivors=_numbers(survivors),
        periods=periods,
        period=_value("COHORT_PERIOD", period or "unspecified"),
        gap_days=gap_days,
        level_ratio=level_ratio,
        seed=seed,
    )
    reply = session.client.call(session.client.analytics.ProjectRetention, request)
    data = {
        "gap_days": reply.gap_days,
        "period_days": reply.period_days,
        "level_ratio": reply.level_ratio,
        "data_as_of": reply.data_as_of,
        "basis": reply.basis,
        "projections": [projection_data(one) for one in reply.projections],
    }
    session.out.result(
        data, "\n\n".join(projection_text(one) for one in reply.projections) or "no orders yet"
    )


def _asked(population: dict[str, Any]) -> dict[str, Any]:
    """The fields that every question has."""
    by, apply_to = population["by"], population["apply_to"]
    return {
        "cohort_by": _value("COHORT_BY", by or "unspecified"),
        "attribute": population["attribute"],
        "time_zone": population["time_zone"],
        "filter": pb.CohortFilter(
            countries=population["countries"],
            segments=population["segments"],
            skus=population["skus"],
            min_amount=population["min_amount"],
            max_amount=population["max_amount"],
            apply_to=_value("COHORT_APPLY_TO", apply_to or "unspecified"),
            first_from=population["first_from"],
            first_to=population["first_to"],
            net=population["net"],
        ),
    }


def _value(kind: str, chosen: str) -> str:
    return f"{kind}_{chosen.upper().replace('-', '_')}"


def _numbers(given: str) -> list[int]:
    try:
        return [int(one) for one in given.split(",")] if given else []
    except ValueError:
        raise Fault(
            "USAGE_INVALID",
            f"--survivors is {given[:60]!r}; whole numbers with commas are expected",
            "cohortlens cohorts retention --survivors 1000,869,743",
            "INVALID_ARGUMENT",
        ) from None
