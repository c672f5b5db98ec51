"""Users of the two doors: each predicts by customer and by vector, and explains now and then."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from typing import Any

import grpc
from locust import HttpUser, User, constant_pacing, task

from cohortlens.v1 import analytics_pb2, analytics_pb2_grpc
from load.settings import from_environment

TARGET = from_environment()
SPEND = analytics_pb2.PREDICTION_TASK_SPEND
_VECTOR_JSON = ["NaN" if math.isnan(v) else v for v in TARGET.vector]


class JsonUser(HttpUser):
    """A caller of the HTTP door."""

    host = TARGET.http
    wait_time = constant_pacing(0.1)

    def on_start(self) -> None:
        """Send the token with every request."""
        self.client.headers["Authorization"] = f"Bearer {TARGET.token}"

    @task(6)
    def predict_customer(self) -> None:
        """Predict one customer by id; stored."""
        self._post("/api/v1/predict", {"task": "PREDICTION_TASK_SPEND", "customers": [_a_customer()]})

    @task(6)
    def predict_vector(self) -> None:
        """Predict one feature vector; not stored."""
        vectors = [{"values": _VECTOR_JSON}]
        self._post("/api/v1/predict", {"task": "PREDICTION_TASK_SPEND", "vectors": vectors})

    @task(1)
    def explain(self) -> None:
        """Explain one customer's prediction."""
        self._post("/api/v1/explain", {"task": "PREDICTION_TASK_SPEND", "customers": [_a_customer()]})

    @task(1)
    def segments(self) -> None:
        """Read the segments."""
        self.client.get("/api/v1/segments")

    @task(1)
    def health(self) -> None:
        """Read the health document."""
        self.client.get("/api/v1/health")

    def _post(self, path: str, body: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/json"}
        self.client.post(path, data=json.dumps(body), headers=headers)


class GrpcUser(User):
    """A caller of the gRPC door; Locust's gevent drives grpcio through its own hook."""

    wait_time = constant_pacing(0.1)

    def on_start(self) -> None:
        """Open one channel."""
        self.channel = grpc.insecure_channel(TARGET.grpc)
        self.stub = analytics_pb2_grpc.AnalyticsServiceStub(self.channel)

    def on_stop(self) -> None:
        """Close it."""
        self.channel.close()

    @task(6)
    def predict_customer(self) -> None:
        """Predict one customer by id; stored."""
        request = analytics_pb2.PredictRequest(task=SPEND, customers=[_a_customer()])
        self._call("Predict by customer", self.stub.Predict, request)

    @task(6)
    def predict_vector(self) -> None:
        """Predict one feature vector; not stored."""
        vector = analytics_pb2.FeatureVector(values=TARGET.vector)
        self._call(
            "Predict by vector", self.stub.Predict, analytics_pb2.PredictRequest(task=SPEND, vectors=[vector])
        )

    @task(1)
    def explain(self) -> None:
        """Explain one customer's prediction."""
        request = analytics_pb2.ExplainRequest(task=SPEND, customers=[_a_customer()])
        self._call("Explain", self.stub.Explain, request)

    def _call(self, name: str, method: Callable[..., Any], request: Any) -> None:
        started, fault = time.perf_counter(), None
        try:
            method(request, timeout=5, metadata=[("authorization", f"Bearer {TARGET.token}")])
        except grpc.RpcError as error:
            fault = error
        self.environment.events.request.fire(
            request_type="gRPC",
            name=name,
            response_time=(time.perf_counter() - started) * 1000,
            response_length=0,
            exception=fault,
        )


def _a_customer() -> str:
    return random.choice(TARGET.customers)
