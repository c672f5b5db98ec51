"""The demo tenant: registered with a random password, loaded with the CDNOW sample, trained and segmented.

Everything but the mailed link goes through the public API, so seeding proves it. Each step looks first if
it was done, so a seed that was cut off goes on where it stopped.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID

from cohortlens.cli.analytics import wait_for_training
from cohortlens.cli.client import Client, Credentials
from cohortlens.cli.data import run_import
from cohortlens.cli.errors import ApiError
from cohortlens.cli.output import Fault, Output
from cohortlens.cli.plans import grant_demo_plan
from cohortlens.cli.registering import register_locally
from cohortlens.cli.seed_consents import record_decisions, refusing_customers
from cohortlens.cli.session import Account, CredentialsFile, FileTokenStore
from cohortlens.v1 import (
    analytics_pb2,
    auth_pb2,
    common_pb2,
    customers_pb2,
    models_pb2,
)

DEMO_TENANT = "Demo Retail"
DEMO_EMAIL = "owner@demo-retail.example"
DEMO_FILE = "cdnow_sample.csv.gz"
DEMO_PLAN = "professional"
DEMO_FEATURES = frozenset({"marketplace", "retraining", "web3"})
"""Beside the plan's: who looks around also trains again, pays tokens and sells insights."""

TERMS_VERSION = "2026-11"
MODELS = ("segmentation", "prediction")
POLL_S = 0.5
STEP_BOUND_S = 240.0

Report = Callable[[str], None]


def seed_demo(target: str, data_dir: Path, out: Output, report: Report) -> Client:
    """Make the demo tenant ready and answer a client that acts as its owner.

    Args:
        target: gRPC door of the running stack.
        data_dir: Folder of the credentials file.
        out: For progress.
        report: Told one line per step that did something.

    Raises:
        Fault: A step failed; the stack stays up.
        ApiError: A call failed.
    """
    client = _owner(target, data_dir, report)
    _grant(client, report)
    if not _has_customers(client):
        _load(client, out, report)
    _train(client, out, report)
    _wait_for_segments(client)
    return client


def _owner(target: str, data_dir: Path, report: Report) -> Client:
    store = CredentialsFile(data_dir)
    accounts = store.load()
    if not accounts:
        # Written before registration: a crash in between must not leave a tenant nobody can log in to.
        accounts = [Account(DEMO_TENANT, DEMO_EMAIL, secrets.token_urlsafe(18))]
        store.save(accounts)
    account = accounts[0]
    tokens = FileTokenStore(data_dir, target, account.email)
    client = Client(target, Credentials(account.email, account.password), timeout_s=60.0, store=tokens)
    try:
        client.call(client.auth.GetMe, auth_pb2.GetMeRequest())
    except ApiError as error:
        if error.reason != "INVALID_CREDENTIALS":
            raise
        register_locally(client, account, TERMS_VERSION)
        client.call(client.auth.GetMe, auth_pb2.GetMeRequest())
        report(f"tenant {account.tenant} registered")
    return client


def _grant(client: Client, report: Report) -> None:
    """Give the demo tenant a plan that holds its data; one that it got otherwise stays."""
    me = client.call(client.auth.GetMe, auth_pb2.GetMeRequest())
    if grant_demo_plan(
        UUID(me.tenant), DEMO_PLAN, DEMO_FEATURES, "the demo data needs more room than basic has"
    ):
        report(f"plan {DEMO_PLAN} granted")


def _has_customers(client: Client) -> bool:
    request = customers_pb2.ListCustomersRequest(page_size=1)
    found: int = client.call(client.customers.ListCustomers, request).total_size
    return found > 0


def _load(client: Client, out: Output, report: Report) -> None:
    sample = files("cohortlens").joinpath("data", DEMO_FILE)
    with sample.open("rb") as source:
        refusing = refusing_customers(source)
    options = customers_pb2.ImportOptions(
        currency="USD", file_name=DEMO_FILE, consent=record_decisions(client, refusing)
    )
    with sample.open("rb") as source:
        done = run_import(client, out, options, source)
    report(
        f"{done.rows.accepted:,} purchases of {done.new_customers:,} customers imported (CDNOW sample); "
        f"{len(refusing):,} customers refused analysis"
    )


def _train(client: Client, out: Output, report: Report) -> None:
    started = time.monotonic()
    for model in MODELS:
        if _is_active(client, model):
            continue
        run = wait_for_training(client, out, _training_run(client, model))
        report(f"{model}: version {run.version} trained, {time.monotonic() - started:.0f} s after the import")


def _is_active(client: Client, model: str) -> bool:
    try:
        client.call(client.models.GetModelVersion, models_pb2.GetModelVersionRequest(model=model))
    except ApiError as error:
        if error.reason in {"RESOURCE_NOT_FOUND", "NO_ACTIVE_MODEL"}:
            return False
        raise
    return True


def _training_run(client: Client, model: str) -> models_pb2.TrainingRun:
    """The run of ``model`` that the first import started, or one of our own."""

    def find() -> models_pb2.TrainingRun | None:
        runs = client.call(
            client.models.ListTrainingRuns, models_pb2.ListTrainingRunsRequest(page_size=20)
        ).runs
        alive = [r for r in runs if r.model == model and r.state != common_pb2.WORK_STATE_FAILED]
        return alive[0] if alive else None

    found = _until(find, 10.0)
    if found is None:
        found = client.call(client.models.StartTraining, models_pb2.StartTrainingRequest(model=model)).runs[0]
    run: models_pb2.TrainingRun = found
    return run


def _wait_for_segments(client: Client) -> None:
    def find() -> Any:
        try:
            return client.call(client.analytics.ListSegments, analytics_pb2.ListSegmentsRequest())
        except ApiError as error:
            if error.reason != "RUN_NOT_PUBLISHED":
                raise
            return None

    if _until(find, 15.0) is not None:
        return
    client.call(client.analytics.StartSegmentation, analytics_pb2.StartSegmentationRequest())
    if _until(find, STEP_BOUND_S) is None:
        raise Fault(
            "SEED_FAILED", f"no segments after {STEP_BOUND_S:.0f} s", "cohortlens segment", "UNAVAILABLE"
        )


def _until(find: Callable[[], Any], bound_s: float) -> Any:
    """What ``find`` gives once it is not None, or None after ``bound_s`` seconds."""
    end = time.monotonic() + bound_s
    while (found := find()) is None and time.monotonic() < end:
        time.sleep(POLL_S)
    return found
