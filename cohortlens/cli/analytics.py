"""``cohortlens segment | predict | explain | train``: the models, from the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click
from google.protobuf.json_format import MessageToDict

from cohortlens.cli.asking import BASES, asks
from cohortlens.cli.client import Client
from cohortlens.cli.output import NEXT_BY_REASON, Fault, Output, table
from cohortlens.cli.session import Session, calls_api
from cohortlens.cli.waiting import wait_until_final
from cohortlens.contracts.currency import minor_digits
from cohortlens.v1 import analytics_pb2, common_pb2, explanations_pb2, models_pb2

TASKS = {
    "purchases": analytics_pb2.PREDICTION_TASK_PURCHASES,
    "spend": analytics_pb2.PREDICTION_TASK_SPEND,
    "churn": analytics_pb2.PREDICTION_TASK_CHURN,
    "clv": analytics_pb2.PREDICTION_TASK_CLV,
}
_CUSTOMERS = click.option(
    "--customer", "customers", multiple=True, help="Customer: an identifier, or external:ID; repeatable."
)
_TASK = click.option("--task", type=click.Choice(sorted(TASKS)), default="spend", show_default=True)
_HORIZON = click.option(
    "--horizon", default="", metavar="DAYS", help="Days to look ahead, such as 90 or 90d."
)


@click.command()
@_CUSTOMERS
@calls_api("segment")
def segment(session: Session, customers: tuple[str, ...]) -> None:
    r"""Assign every customer to a segment and show the segments; with --customer, assign only those.

    \b
    Examples:
      cohortlens segment
      cohortlens segment --customer external:4
    """
    client = session.client
    if customers:
        reply = client.call(client.analytics.Segment, analytics_pb2.SegmentRequest(customers=customers))
        rows = [[a.external_id, a.name, f"{a.distance:.2f}"] for a in reply.assignments]
        data: dict[str, Any] = {"assignments": [_assignment(a) for a in reply.assignments]}
        session.out.result(data, table(rows, ["customer", "segment", "distance"], frozenset({2})))
        return
    run = run_segmentation(client, session.out)
    reply = client.call(client.analytics.ListSegments, analytics_pb2.ListSegmentsRequest(run=run.run))
    data = {
        "run": run.run,
        "model_version": run.model_version,
        "customers": run.customers,
        "segments": [segment_data(s) for s in reply.segments],
    }
    session.out.result(data, segments_table(list(reply.segments)))


@click.command()
@_CUSTOMERS
@_TASK
@_HORIZON
@asks
@calls_api("predict")
def predict(
    session: Session, customers: tuple[str, ...], task: str, horizon: str, asked: dict[str, Any]
) -> None:
    r"""Predict what customers will buy, spend or be worth, or whether they stay away; stores each prediction.

    \b
    Examples:
      cohortlens predict --customer external:4 --task spend --horizon 90d
      cohortlens predict --customer external:4 --task clv --horizon 365 --discount 0.08
      cohortlens predict --customer external:4 --customer external:21 --task churn --json
    """
    client = session.client
    request = analytics_pb2.PredictRequest(
        task=TASKS[task], customers=_named(customers), horizon_days=days_of(horizon), **asked
    )
    found = client.call(client.analytics.Predict, request).predictions
    session.out.result({"predictions": [prediction_data(p) for p in found]}, predictions_table(list(found)))


@click.command()
@_CUSTOMERS
@_TASK
@_HORIZON
@click.option("--top", default=12, show_default=True, help="Strongest reasons to show.")
@click.option(
    "--method", type=click.Choice(["shap", "lime", "counterfactual"]), help="The setting's if none."
)
@click.option("--interventional", is_flag=True, help="SHAP against rows of the training data.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Seed of LIME's samples.")
@click.option("--churn-below", type=click.FloatRange(0, 1, min_open=True), help="What to reach: a churn.")
@click.option("--segment", help="What to reach: the key of a segment.")
@calls_api("explain")
def explain(
    session: Session,
    customers: tuple[str, ...],
    task: str,
    horizon: str,
    top: int,
    method: str | None,
    interventional: bool,
    seed: int | None,
    churn_below: float | None,
    segment: str | None,
) -> None:
    r"""Show why a prediction is what it is: the share of each feature, or what would change it.

    \b
    Examples:
      cohortlens explain --customer external:4 --task spend
      cohortlens explain --customer external:4 --top 3 --json
      cohortlens explain --customer external:4 --method counterfactual --churn-below 0.4
    """
    client = session.client
    goal = explanations_pb2.CounterfactualGoal(churn_below_ratio=churn_below, segment=segment)
    request = analytics_pb2.ExplainRequest(
        task=TASKS[task],
        customers=_named(customers),
        horizon_days=days_of(horizon),
        top=top,
        method=f"EXPLANATION_METHOD_{(method or 'unspecified').upper()}",
        interventional=interventional,
        seed=seed,
        goal=goal if churn_below is not None or segment is not None else None,
    )
    found = client.call(client.analytics.Explain, request).explanations
    text = "\n\n".join(explanation_text(e) for e in found)
    session.out.result({"explanations": [explanation_data(e) for e in found]}, text)


@click.command()
@click.option(
    "--model", type=click.Choice(["segmentation", "prediction"]), help="One model; both by default."
)
@click.option("--seed", default=0, show_default=True, help="Seed of everything random.")
@click.option("--segments", type=click.IntRange(2, 20), help="Number of segments; chosen when not given.")
@calls_api("train")
def train(session: Session, model: str | None, seed: int, segments: int | None) -> None:
    r"""Train models on the tenant's own data; a version that passes its gate starts to serve.

    \b
    Examples:
      cohortlens train
      cohortlens train --model prediction --seed 7 --json
      cohortlens train --model segmentation --segments 5
    """
    request = models_pb2.StartTrainingRequest(model=model or "", seed=seed, segments=segments or 0)
    started = session.client.call(session.client.models.StartTraining, request).runs
    runs = [wait_for_training(session.client, session.out, run) for run in started]
    data = [{"run": r.run, "model": r.model, "version": r.version, "stage": r.stage} for r in runs]
    text = "\n".join(f"{r.model}: version {r.version} registered" for r in runs)
    session.out.result({"runs": data}, text)


def run_segmentation(client: Client, out: Output) -> analytics_pb2.SegmentationRun:
    """Start a segmentation run and wait for its end."""
    run = client.call(client.analytics.StartSegmentation, analytics_pb2.StartSegmentationRequest()).run
    request = analytics_pb2.GetSegmentationRunRequest(run=run.run)

    def poll() -> Any:
        return client.call(client.analytics.GetSegmentationRun, request).run

    done: analytics_pb2.SegmentationRun = _wait(out, "segmentation", run, poll)
    return done


def wait_for_training(client: Client, out: Output, run: models_pb2.TrainingRun) -> models_pb2.TrainingRun:
    """Wait for the end of a training run."""
    request = models_pb2.GetTrainingRunRequest(run=run.run)

    def poll() -> Any:
        return client.call(client.models.GetTrainingRun, request).run

    done: models_pb2.TrainingRun = _wait(out, f"training {run.model}", run, poll)
    return done


def _wait(out: Output, label: str, work: Any, poll: Callable[[], Any]) -> Any:
    with out.progress(label) as show:

        def tell(found: Any) -> None:
            show(getattr(found, "stage", ""), found.progress_ratio)

        work = wait_until_final(work, poll, tell, f"{label} {work.run}")
    if work.state == common_pb2.WORK_STATE_FAILED:
        raise Fault(
            work.error.reason,
            work.error.message,
            NEXT_BY_REASON.get(work.error.reason, ""),
            metadata={"run": work.run},
        )
    return work


def _named(customers: tuple[str, ...]) -> tuple[str, ...]:
    if not customers:
        raise Fault(
            "FIELD_INVALID", "--customer is missing", "add --customer external:ID", "INVALID_ARGUMENT"
        )
    return customers


def days_of(text: str) -> int:
    """Days of a horizon such as 90 or 90d; 0 for none.

    Raises:
        Fault: Something else.
    """
    if not text:
        return 0
    match = re.fullmatch(r"(\d{1,4})d?", text)
    if match is None:
        raise Fault("FIELD_INVALID", f"--horizon {text}: expected days, such as 90d", code="INVALID_ARGUMENT")
    return int(match[1])


def _assignment(a: analytics_pb2.SegmentAssignment) -> dict[str, Any]:
    return {
        "customer": a.customer,
        "external_id": a.external_id,
        "segment": a.segment,
        "name": a.name,
        "distance": a.distance,
        "model_version": a.model_version,
    }


def segment_data(s: analytics_pb2.Segment) -> dict[str, Any]:
    """A segment in the JSON envelope."""
    return {
        "segment": s.segment,
        "name": s.name,
        "sentence": s.sentence,
        "customers": s.customers,
        "share_ratio": s.share_ratio,
        "spend": {"units_minor": s.spend_minor, "currency": s.currency},
        "spend_share_ratio": s.spend_share_ratio,
    }


def segments_table(segments: list[analytics_pb2.Segment]) -> str:
    """Segments as a table for people."""
    rows = [
        [
            s.name,
            f"{s.customers:,}",
            f"{s.share_ratio:.1%}",
            f"{s.spend_minor / 10 ** minor_digits(s.currency):,.0f} {s.currency}",
            f"{s.spend_share_ratio:.1%}",
            f"{s.median_days_since:.0f}",
            f"{s.mean_purchase_days:.1f}",
        ]
        for s in segments
    ]
    header = ["segment", "customers", "share", "spend", "of spend", "days since", "purchase days"]
    return table(rows, header, frozenset(range(1, 7)))


def prediction_data(p: analytics_pb2.Prediction) -> dict[str, Any]:
    """A prediction in the JSON envelope."""
    return {
        "prediction": p.prediction,
        "customer": p.customer,
        "external_id": p.external_id,
        "task": _task_name(p.task),
        "value": p.value,
        "unit": p.unit,
        "interval": [p.lower, p.upper],
        "interval_level_ratio": p.level_ratio,
        "horizon_days": p.horizon_days,
        "basis": BASES[p.basis],
        "loss": _loss_name(p.loss),
        "annual_discount_ratio": _discount(p),
        "model_version": p.model_version,
        "snapshot_id": p.snapshot_id,
    }


def _loss_name(number: int) -> str:
    return analytics_pb2.PredictionLoss.Name(number).removeprefix("PREDICTION_LOSS_").lower()


def _discount(p: analytics_pb2.Prediction) -> float | None:
    return p.annual_discount_ratio if p.HasField("annual_discount_ratio") else None


def predictions_table(found: list[analytics_pb2.Prediction]) -> str:
    """Predictions as a table for people."""
    level = f"{found[0].level_ratio:.0%}".replace("%", " %") if found else ""
    rows = [
        [p.external_id, f"{p.value:,.2f}", p.unit, f"{p.lower:,.2f} .. {p.upper:,.2f}", str(p.horizon_days)]
        for p in found
    ]
    return table(rows, ["customer", "value", "unit", f"{level} interval", "days"], frozenset({1, 4}))


def explanation_data(e: analytics_pb2.Explanation) -> dict[str, Any]:
    """An explanation in the JSON envelope; a value of null is a missing feature."""
    return {
        "customer": e.customer,
        "external_id": e.external_id,
        "value": e.value,
        "unit": e.unit,
        "horizon_days": e.horizon_days,
        "space": "log",
        "base": e.base_value,
        "attributions": [
            {
                "feature": a.feature,
                "unit": a.unit,
                "value": a.value if a.HasField("value") else None,
                "contribution": a.contribution,
                "factor": a.factor,
            }
            for a in e.attributions
        ],
        "other_contribution": e.other_contribution,
        "residual": e.additivity_residual,
        "surrogate_residual": e.surrogate_residual,
        "fidelity_r2": e.fidelity_r2,
        "method": _method_name(e),
        "model_version": e.model_version,
        "lime": MessageToDict(e.lime, preserving_proto_field_name=True) if e.HasField("lime") else None,
        "counterfactual": MessageToDict(e.counterfactual, preserving_proto_field_name=True)
        if e.HasField("counterfactual")
        else None,
    }


def _method_name(e: analytics_pb2.Explanation) -> str:
    return analytics_pb2.ExplanationMethod.Name(e.method).removeprefix("EXPLANATION_METHOD_").lower()


def counterfactual_text(e: analytics_pb2.Explanation) -> str:
    """A counterfactual for people, in one sentence."""
    found, who = e.counterfactual, e.external_id or e.customer
    if found.holds_already:
        return f"{who}: true already"
    if not found.found:
        return f"{who}: not reached by {found.tried} actions of at most 3 purchase-days"
    days = f"{found.purchase_days} purchase-day{'s' if found.purchase_days > 1 else ''}"
    money = f"{found.amount:,.2f} {found.currency}{' each' if found.purchase_days > 1 else ''}"
    change = (
        f"churn {found.churn_before:.3f} to {found.churn_after:.3f}"
        if found.HasField("churn_after")
        else f"segment {found.segment_before} to {found.segment_after}"
    )
    return f"{who}: {days} of {money}: {change}"


def explanation_text(e: analytics_pb2.Explanation) -> str:
    """An explanation for people: what multiplies the value, strongest first."""
    if e.HasField("counterfactual"):
        return counterfactual_text(e)
    rows = [
        [a.feature, f"{a.value:,.2f}" if a.HasField("value") else "unknown", a.unit, f"x {a.factor:.2f}"]
        for a in e.attributions
    ]
    head = f"{e.external_id or e.customer}: {e.value:,.2f} {e.unit} in {e.horizon_days} days, because"
    return head + "\n" + table(rows, ["feature", "value", "unit", "effect"], frozenset({1, 3}))


def _task_name(task: int) -> str:
    return analytics_pb2.PredictionTask.Name(task).removeprefix("PREDICTION_TASK_").lower()
