"""What one gateway is told, another knows at once, whatever is asked of it, with Redis there or not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cohortlens.cli.client import Client, Credentials
from cohortlens.cli.errors import ApiError
from cohortlens.cli.seed_consents import publish_notice
from cohortlens.embedded.ports import free_port
from cohortlens.v1 import analytics_pb2, common_pb2, consent_acts_pb2, consent_notices_pb2, models_pb2
from tests.fixtures.waiting import eventually_blocking

BOUND_S = 5.0
OTHER = "external:4"
WITH_REDIS, WITHOUT_REDIS = "external:21", "external:50"
SPEND = analytics_pb2.PREDICTION_TASK_SPEND


@pytest.fixture(scope="module")
def second(stack, demo):
    """The owner of the demo tenant at another gateway of the stack; ``demo`` is at the first."""
    running = Path(f"/proc/{stack.services()['gateway']['pid']}/environ").read_bytes()
    environ = dict(one.split("=", 1) for one in running.decode().split("\0") if "=" in one)
    door = free_port()
    environ |= {
        "COHORTLENS_GRPC_PORT": str(door),
        "COHORTLENS_HTTP_PORT": str(free_port()),
        "COHORTLENS_OPS_PORT": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway"],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    account = stack.json("credentials")["data"]["tenants"][0]
    try:
        with Client(f"127.0.0.1:{door}", Credentials(account["email"], account["password"])) as client:
            eventually_blocking(lambda: predicts(client, OTHER), 90.0)
            yield client
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        consents_again(demo, WITH_REDIS, WITHOUT_REDIS)


def consents_again(client, *customers):
    """Leave the demo tenant as other tests know it."""
    notice = publish_notice(client)
    for customer in customers:
        request = consent_acts_pb2.GrantConsentRequest(customer=customer, purposes=purposes(), notice=notice)
        client.call(client.consent.GrantConsent, request)


def predicts(client, *customers):
    """What a prediction of these answers; None while the gateway is not there."""
    request = analytics_pb2.PredictRequest(task=SPEND, customers=list(customers))
    try:
        return client.call(client.analytics.Predict, request)
    except ApiError as error:
        if error.code == "UNAVAILABLE":
            return None
        raise


def purposes():
    return [consent_notices_pb2.PurposeVersion(purpose="profiling")]


def withdraws(client, customer):
    request = consent_acts_pb2.WithdrawConsentRequest(customer=customer, purposes=purposes())
    client.call(client.consent.WithdrawConsent, request)


def is_refused(client, method, request):
    try:
        client.call(method, request)
    except ApiError as error:
        assert error.reason == "CONSENT_REQUIRED", error
        return True
    return False


def is_out_everywhere(client, customer):
    """Whether a gateway uses a customer for nothing any more, alone and among others."""
    one, both = [customer], [OTHER, customer]
    analytics = client.analytics
    alone = (
        (analytics.Predict, analytics_pb2.PredictRequest(task=SPEND, customers=one)),
        (analytics.Explain, analytics_pb2.ExplainRequest(task=SPEND, customers=one)),
        (analytics.Segment, analytics_pb2.SegmentRequest(customers=one)),
    )
    among = (
        client.call(analytics.Predict, analytics_pb2.PredictRequest(task=SPEND, customers=both)),
        client.call(analytics.Explain, analytics_pb2.ExplainRequest(task=SPEND, customers=both)),
        client.call(analytics.Segment, analytics_pb2.SegmentRequest(customers=both)),
    )
    refused = [is_refused(client, method, request) for method, request in alone]
    return all(refused) and [reply.excluded_no_consent for reply in among] == [1, 1, 1]


@contextlib.contextmanager
def redis_held(stack):
    """Redis answers nobody while the block runs."""
    pid = stack.services()["redis"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_withdrawal_at_one_gateway_ends_the_use_at_another_within_five_seconds(demo, second):
    assert len(predicts(second, WITH_REDIS).predictions) == 1
    withdraws(demo, WITH_REDIS)
    began = time.monotonic()
    eventually_blocking(lambda: is_out_everywhere(second, WITH_REDIS), BOUND_S)
    assert time.monotonic() - began < BOUND_S


def test_it_does_so_while_redis_answers_nobody(stack, demo, second):
    assert len(predicts(second, WITHOUT_REDIS).predictions) == 1
    with redis_held(stack):
        withdraws(demo, WITHOUT_REDIS)
        request = analytics_pb2.PredictRequest(task=SPEND, customers=[WITHOUT_REDIS])
        assert is_refused(second, second.analytics.Predict, request)


def test_the_next_training_leaves_them_out(demo, second):
    """118 of the sample refused from the first day on; the two from above withdrew since."""
    run = second.call(
        second.models.StartTraining, models_pb2.StartTrainingRequest(model="segmentation")
    ).runs[0]
    request = models_pb2.GetTrainingRunRequest(run=run.run)

    def noted():
        found = demo.call(demo.models.GetTrainingRun, request).run
        return found if found.state >= common_pb2.WORK_STATE_SUCCEEDED else None

    assert eventually_blocking(noted, 240.0).excluded_no_consent == 120
