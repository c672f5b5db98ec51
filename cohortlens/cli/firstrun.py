"""What happens once all is ready: seed the demo tenant, predict over both doors, show the addresses."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from dataclasses import dataclass

from cohortlens.cli.client import Client
from cohortlens.cli.local import data_dir, endpoints
from cohortlens.cli.output import Fault, Output
from cohortlens.cli.seed import seed_demo
from cohortlens.cli.session import CredentialsFile
from cohortlens.v1 import analytics_pb2, customers_pb2

TASK = "PREDICTION_TASK_SPEND"
SAME_VALUE_RATIO = 1e-9


@dataclass(frozen=True)
class FirstPrediction:
    """The prediction that proves the start.

    Attributes:
        prediction: As gRPC gave it; JSON gave the same.
        explanation: Its strongest reasons.
    """

    prediction: analytics_pb2.Prediction
    explanation: analytics_pb2.Explanation


def seed_and_probe(out: Output) -> FirstPrediction:
    """Make the demo tenant ready and predict for one of its customers by gRPC and by JSON.

    Raises:
        Fault: A step failed, or the two doors disagree (``PROBE_FAILED``).
        ApiError: A call failed.
    """
    where = endpoints()
    with seed_demo(where.grpc, data_dir(), out, out.note) as client:
        found = _first_prediction(client)
        by_json = _predict_by_json(client, where.http, found.prediction.customer)
    if not math.isclose(by_json, found.prediction.value, rel_tol=SAME_VALUE_RATIO):
        told = f"gRPC gave {found.prediction.value}, JSON gave {by_json}"
        raise Fault("PROBE_FAILED", told, "report it with the logs", "INTERNAL")
    return found


def ready_box(found: FirstPrediction, seconds: float) -> str:
    """Addresses, credentials and next commands for a person."""
    where, store = endpoints(), CredentialsFile(data_dir())
    p, e = found.prediction, found.explanation
    reasons = ", ".join(f"{a.feature} x{a.factor:.2f}" for a in e.attributions if a.feature != "horizon")
    return "\n".join(
        [
            f"ready after {seconds:.0f} s. Development mode: embedded servers, not for production.",
            "",
            f"  first prediction  customer {p.external_id} spends {p.value:,.2f} {p.unit} "
            f"in {p.horizon_days} days ({p.lower:,.2f} .. {p.upper:,.2f}); {reasons}",
            f"  JSON              {where.http}/api/v1/",
            f"  gRPC              {where.grpc}",
            f"  GraphQL           {where.http}/graphql",
            f"  plan and usage    {where.http}/billing  (sign in as {store.load()[0].email}; "
            "`cohortlens credentials` shows the password)",
            f"  API reference     {where.http}/docs",
            f"  health, metrics   {where.http}/api/v1/health  {where.ops}/metrics",
            f"  credentials       {store.path}",
            "",
            "next: . .venv/bin/activate && cohortlens demo",
        ]
    )


def _first_prediction(client: Client) -> FirstPrediction:
    page = client.call(client.customers.ListCustomers, customers_pb2.ListCustomersRequest(page_size=1))
    who = [page.customers[0].customer]
    predicted = client.call(client.analytics.Predict, analytics_pb2.PredictRequest(task=TASK, customers=who))
    request = analytics_pb2.ExplainRequest(task=TASK, customers=who, top=4)
    explained = client.call(client.analytics.Explain, request)
    return FirstPrediction(predicted.predictions[0], explained.explanations[0])


def _predict_by_json(client: Client, http: str, customer: str) -> float:
    request = urllib.request.Request(  # noqa: S310 - our own http address
        f"{http}/api/v1/predict",
        data=json.dumps({"task": TASK, "customers": [customer]}).encode(),
        headers={"Authorization": f"Bearer {client.access_token()}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310 - as above
            value: float = json.load(reply)["predictions"][0]["value"]
            return value
    except urllib.error.HTTPError as error:
        told = f"the HTTP door answered {error.code}: {error.read()[:300].decode(errors='replace')}"
        raise Fault("PROBE_FAILED", told, "cohortlens status", "INTERNAL") from None
