"""A stack with something to ask it for, what grpcio is told, and a page of another site."""

import http.server
import shutil
import threading
from functools import partial
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
from google.protobuf import json_format

from cohortlens.cli.client import Client
from cohortlens.v1 import analytics_pb2, common_pb2, customers_pb2
from tests.e2e.interop.callers import CLIENTS, Site
from tests.e2e.interop.cases import Known, cases
from tests.e2e.interop.normal import DESCRIPTORS
from tests.fixtures.chromium import chromium, person
from tests.fixtures.waiting import eventually_blocking


@pytest.fixture(scope="session")
def site(stack, demo):
    return Site(stack.http, stack.grpc, demo.access_token())


@pytest.fixture(scope="session")
def table(demo):
    request = customers_pb2.ListCustomersRequest(page_size=1)
    customer = demo.call(demo.customers.ListCustomers, request).customers[0].customer
    asked = analytics_pb2.GetFeaturesRequest(customer=customer)
    features = demo.call(demo.analytics.GetFeatures, asked).features
    # As proto JSON writes them: there is one NaN among them.
    values = json_format.MessageToDict(features)["values"]
    return cases(Known(customer, values, finished_batch(demo)))


def finished_batch(demo: Client) -> str:
    """A batch prediction of every customer that has succeeded."""
    spend = analytics_pb2.PREDICTION_TASK_SPEND
    begun = demo.call(
        demo.analytics.PredictBatch,
        analytics_pb2.PredictBatchRequest(task=spend, horizon_days=90, all_customers=True),
    )
    batch = begun.batch.batch

    def succeeded() -> bool:
        request = analytics_pb2.GetBatchPredictionRequest(batch=batch)
        state = demo.call(demo.analytics.GetBatchPrediction, request).batch.state
        assert state != common_pb2.WORK_STATE_FAILED
        return state == common_pb2.WORK_STATE_SUCCEEDED

    eventually_blocking(succeeded, 120)
    return batch


class _Files(http.server.SimpleHTTPRequestHandler):
    extensions_map: ClassVar = {
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".html": "text/html",
        "": "",
    }

    def translate_path(self, path):
        return str(DESCRIPTORS) if path == "/descriptors.binpb" else super().translate_path(path)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")  # Playwright's event loop counts as running for as long as it is open
def page(stack):
    """A page at an origin that the stack lists, in a browser without a window."""
    if not (CLIENTS / "node_modules").exists() or shutil.which("npm") is None:
        pytest.skip("NOT CHECKED: clients of npm; next: apt-get install -y nodejs npm && make setup-dev")
    origin = stack.environ["COHORTLENS_CORS_ORIGINS"]
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", urlsplit(origin).port), partial(_Files, directory=str(CLIENTS))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with chromium() as browser:
            context = person(browser)
            opened = context.new_page()
            opened.goto(f"{origin}/page.html", wait_until="load")
            opened.wait_for_function("window.called !== undefined")
            yield opened
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
