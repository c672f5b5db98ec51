"""``cohortlens demo``: the tour over the demo tenant, and the calls behind it, ready to paste."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cohortlens.cli.analytics import (
    explanation_data,
    prediction_data,
    segment_data,
    segments_table,
)
from cohortlens.cli.client import Client
from cohortlens.cli.consent import demo_consent
from cohortlens.cli.output import table
from cohortlens.cli.session import Session, calls_api
from cohortlens.v1 import analytics_pb2

SHOWN_CUSTOMERS = 10
SHOWN_REASONS = 3


@dataclass(frozen=True)
class Tour:
    """What the demo shows.

    Attributes:
        segments: Segments of the published run, largest spend first.
        explanations: One per customer shown, with its strongest reasons.
        predictions: The predictions they explain, in the same order.
    """

    segments: list[analytics_pb2.Segment]
    predictions: list[analytics_pb2.Prediction]
    explanations: list[analytics_pb2.Explanation]


class _Tours(click.Group):
    """The tour over the analytics unless another one is named, with the options of that tour."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Name the first tour where none is named."""
        if args[:1] != ["--help"] and not (args and args[0] in self.commands):
            args = ["analytics", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Tours)
def demo() -> None:
    """Walk through the demo tenant: its analytics, unless ``consent`` is named."""


demo.add_command(demo_consent)


@demo.command()
@calls_api("demo")
def analytics(session: Session) -> None:
    """Walk through the demo tenant: segments, predictions with their reasons, and the calls behind them."""
    from cohortlens.cli.local import endpoints  # noqa: PLC0415 - needs the local stack's settings

    tour = take_tour(session.client)
    where = endpoints()
    snippets = paste_snippets(where.http, where.grpc, tour.predictions[0].external_id)
    data = {
        "segments": [segment_data(s) for s in tour.segments],
        "predictions": [prediction_data(p) for p in tour.predictions],
        "explanations": [explanation_data(e) for e in tour.explanations],
        "snippets": snippets,
    }
    session.out.result(data, _text(tour, snippets))


def take_tour(client: Client) -> Tour:
    """Segments, and predictions of a few customers of each with their strongest reasons."""
    segments = list(client.call(client.analytics.ListSegments, analytics_pb2.ListSegmentsRequest()).segments)
    customers = _a_few_of_each(client, segments)
    task = analytics_pb2.PREDICTION_TASK_SPEND
    predictions = client.call(
        client.analytics.Predict, analytics_pb2.PredictRequest(task=task, customers=customers)
    ).predictions
    # One more than shown: the horizon is the caller's wish and no reason of the customer's.
    request = analytics_pb2.ExplainRequest(task=task, customers=customers, top=SHOWN_REASONS + 1)
    explanations = list(client.call(client.analytics.Explain, request).explanations)
    for explanation in explanations:
        reasons = [a for a in explanation.attributions if a.feature != "horizon"][:SHOWN_REASONS]
        del explanation.attributions[:]
        explanation.attributions.extend(reasons)
    return Tour(segments, list(predictions), explanations)


def paste_snippets(http: str, grpc: str, external_id: str) -> dict[str, str]:
    """The same prediction by curl, grpcurl and Python, for a shell of this machine.

    Args:
        http: Base URL of the HTTP door.
        grpc: ``host:port`` of the gRPC door.
        external_id: Customer to predict, in the tenant's own data.
    """
    command = shutil.which("cohortlens") or str(Path(sys.executable).parent / "cohortlens")
    body = f'{{"task": "PREDICTION_TASK_SPEND", "customers": ["external:{external_id}"]}}'
    python = "\n".join(
        [
            f"{sys.executable} - <<'PY'",
            "import os, grpc",
            "from cohortlens.v1 import analytics_pb2 as pb, analytics_pb2_grpc as rpc",
            f'stub = rpc.AnalyticsServiceStub(grpc.insecure_channel("{grpc}"))',
            f'who = ["external:{external_id}"]',
            'request = pb.PredictRequest(task="PREDICTION_TASK_SPEND", customers=who)',
            'token = ("authorization", "Bearer " + os.environ["TOKEN"])',
            "print(stub.Predict(request, metadata=[token]))",
            "PY",
        ]
    )
    return {
        "token": f"export TOKEN=$({command} credentials --token)",
        "curl": f'curl -sS {http}/api/v1/predict -H "Authorization: Bearer $TOKEN" '
        f"-H 'Content-Type: application/json' -d '{body}'",
        "grpcurl": f"grpcurl -plaintext -H \"Authorization: Bearer $TOKEN\" -d '{body}' "
        f"{grpc} cohortlens.v1.AnalyticsService/Predict",
        "python": python,
    }


def _a_few_of_each(client: Client, segments: list[analytics_pb2.Segment]) -> list[str]:
    """Ten customers, taken from the segments in turn."""
    pages: list[list[str]] = []
    for segment in segments:
        request = analytics_pb2.ListSegmentMembersRequest(segment=segment.segment, page_size=SHOWN_CUSTOMERS)
        members = client.call(client.analytics.ListSegmentMembers, request).members
        pages.append([m.customer for m in members])
    turns = [page[i] for i in range(SHOWN_CUSTOMERS) for page in pages if i < len(page)]
    return turns[:SHOWN_CUSTOMERS]


def _reasons(explanation: analytics_pb2.Explanation) -> str:
    parts: list[str] = []
    for a in explanation.attributions:
        value = f"{a.value:,.4g}" if a.HasField("value") else "unknown"
        parts.append(f"{a.feature}={value} x{a.factor:.2f}")
    return ", ".join(parts)


def _text(tour: Tour, snippets: dict[str, Any]) -> str:
    rows = [
        [p.external_id, f"{p.value:,.2f}", f"{p.lower:,.2f} .. {p.upper:,.2f}", _reasons(e)]
        for p, e in zip(tour.predictions, tour.explanations, strict=True)
    ]
    first = tour.predictions[0]
    head = f"Spend in the next {first.horizon_days} days, {first.unit} (model version {first.model_version})"
    header = ["customer", "value", "80 % interval", "three strongest reasons (what multiplies the value)"]
    return "\n".join(
        [
            "Segments",
            segments_table(tour.segments),
            "",
            head,
            table(rows, header, frozenset({1})),
            "",
            "The first of them again, by hand. Paste the token line, then any of the others:",
            *(f"\n# {name}\n{text}" for name, text in snippets.items()),
        ]
    )
