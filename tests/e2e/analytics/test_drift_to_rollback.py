"""A planted drift is found, a training starts by itself, the better version takes over while calls run, a worse one
is refused, one call rolls back, and the history tells which version was live when.
"""

import io
import threading
import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cohortlens.cli.errors import ApiError
from cohortlens.v1 import (
    analytics_pb2,
    common_pb2,
    customers_pb2,
    drift_pb2,
    model_versions_pb2,
    models_pb2,
)
from tests.fixtures.waiting import eventually_blocking

START = date(2024, 1, 1)
CUSTOMERS, GOOD_DAYS, BAD_DAYS = 220, 240, 150
CALLERS, PACE_S = 3, 0.05
OLD_DAY = 130
SPEND = analytics_pb2.PREDICTION_TASK_SPEND


def orders(slower, seed):
    """Orders before and after a day from which on customers buy so many times as seldom; two CSV files.

    Each customer has a pace, an amount and an end; days count from ``START``.
    """
    rng = np.random.default_rng(seed)
    files = (["customer_id,date,amount,currency"], ["customer_id,date,amount,currency"])
    for customer in range(CUSTOMERS):
        pace, worth = rng.gamma(4.0, 14.0 / 4.0), rng.gamma(9.0, 20.0 / 9.0)
        day = 1 + rng.uniform(0, 60)
        end = day + rng.exponential(400)
        while day <= min(GOOD_DAYS + BAD_DAYS, end):
            is_late = int(day) > GOOD_DAYS
            amount = worth * rng.gamma(9.0, 1 / 9.0)
            files[is_late].append(f"c{customer},{START + timedelta(days=int(day))},{amount:.2f},USD")
            day += max(1.0, rng.exponential(pace * (slower if is_late else 1.0)))
    return ["\n".join(lines).encode() for lines in files]


def imported(client, data):
    stored = client.import_transactions(
        customers_pb2.ImportOptions(file_name="orders.csv"), io.BytesIO(data).read
    )
    request = customers_pb2.GetImportRequest(**{"import": getattr(stored, "import")})

    def ended():
        found = getattr(client.call(client.customers.GetImport, request), "import")
        assert found.state != common_pb2.WORK_STATE_FAILED, found.error
        return found if found.state == common_pb2.WORK_STATE_SUCCEEDED else None

    return eventually_blocking(ended, 60)


def runs(client, **wanted):
    found = client.call(client.models.ListTrainingRuns, models_pb2.ListTrainingRunsRequest()).runs
    return [one for one in found if all(getattr(one, name) == value for name, value in wanted.items())]


def ended(client, **wanted):
    """The newest training run of the kind, once it has ended well."""

    def one():
        found = runs(client, model="prediction", **wanted)
        if not found:
            return None
        assert found[0].state != common_pb2.WORK_STATE_FAILED, found[0].error
        return found[0] if found[0].state == common_pb2.WORK_STATE_SUCCEEDED else None

    # The demo tenant's first training may be under way: one is trained at a time.
    return eventually_blocking(one, 300)


def versions(client, **asked):
    request = models_pb2.ListModelVersionsRequest(model="prediction", **asked)
    return list(client.call(client.models.ListModelVersions, request).versions)


def live_at(client, when):
    return [one.version for one in versions(client, live_at=when)]


class Callers:
    """Threads that ask for predictions until told to stop."""

    def __init__(self, client):
        self.versions, self.faults = [], []
        self._client, self._stop = client, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(at,)) for at in range(CALLERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, at):
        request = analytics_pb2.PredictRequest(
            task=SPEND, horizon_days=30, customers=[f"external:c{at}", f"external:c{at + 50}"]
        )
        while not self._stop.wait(PACE_S):
            try:
                reply = self._client.call(self._client.analytics.Predict, request)
                self.versions += [one.model_version for one in reply.predictions]
            except ApiError as fault:
                self.faults.append(fault)


@pytest.fixture(scope="module")
def shop(stack):
    with stack.new_tenant("owner@drifting-shop.example") as client:
        yield client


def test_from_a_planted_drift_to_the_better_version_and_back(shop):
    before, after = orders(slower=5.0, seed=1)
    # A shop whose customers buy every two weeks; its first import trains by itself.
    imported(shop, before)
    first = ended(shop, cause=models_pb2.TRAINING_CAUSE_FIRST_IMPORT)
    assert (first.version, first.outcome) == (1, models_pb2.TRAINING_OUTCOME_PROMOTED)
    (one,) = versions(shop)
    began = one.active_since.ToDatetime(UTC)

    with Callers(shop) as callers:
        eventually_blocking(lambda: callers.versions, 30)
        # They come a fifth as often: too few purchase-days to count as growth.
        imported(shop, after)
        second = ended(shop, cause=models_pb2.TRAINING_CAUSE_DRIFT)
        eventually_blocking(lambda: callers.versions[-1] == second.version, 30)
        time.sleep(2.5)  # until every process has noticed
    assert callers.faults == []
    assert set(callers.versions) == {1, second.version}

    request = drift_pb2.GetDriftReportRequest(drift_report=second.drift_report)
    report = shop.call(shop.analytics.GetDriftReport, request).drift_report
    assert report.verdict == drift_pb2.DRIFT_VERDICT_ACT
    assert (second.outcome, second.champion_version) == (models_pb2.TRAINING_OUTCOME_PROMOTED, 1)
    better = versions(shop)[0]
    assert better.active
    # On days that neither knew, the new one was the better one.
    compared = {one.name: one for one in better.gate if one.name.endswith("loss_vs_champion")}
    assert len(compared) == 4
    assert all(one.passed for one in compared.values())
    assert compared["loss_vs_champion"].value < 0.95

    # A training on the days before the drift: worse, kept with the reason, and not active.
    stale = models_pb2.StartTrainingRequest(
        model="prediction", seed=7, as_of=(START + timedelta(days=OLD_DAY)).isoformat()
    )
    shop.call(shop.models.StartTraining, stale)
    third = ended(shop, cause=models_pb2.TRAINING_CAUSE_REQUESTED)
    assert third.outcome == models_pb2.TRAINING_OUTCOME_REJECTED
    refused = versions(shop)[0]
    assert (refused.version, refused.active) == (third.version, False)
    assert refused.state == models_pb2.VERSION_STATE_REJECTED
    assert "data_days_behind_vs_champion" in {one.name for one in refused.gate if not one.passed}
    with pytest.raises(ApiError) as fault:
        shop.call(
            shop.models.PromoteModel,
            models_pb2.PromoteModelRequest(model="prediction", version=third.version),
        )
    assert fault.value.reason == "GATE_NOT_PASSED"

    # One call goes back.
    back = shop.call(
        shop.models.RollbackModel, models_pb2.RollbackModelRequest(model="prediction", reason="a test")
    ).version
    assert (back.version, back.active) == (1, True)

    changes = shop.call(
        shop.models.ListAliasHistory,
        model_versions_pb2.ListAliasHistoryRequest(
            model="prediction", alias=model_versions_pb2.MODEL_ALIAS_CHAMPION
        ),
    ).intervals
    assert [(change.version, change.reason) for change in changes] == [
        (1, "a test"),
        (second.version, "not worse than version 1"),
        (1, "first version"),
    ]
    rolled, promoted, _ = (change.start_time for change in changes)
    earlier = Timestamp()
    earlier.FromDatetime(began - timedelta(microseconds=1))
    now = Timestamp()
    now.FromDatetime(datetime.now(UTC))
    asked = (earlier, one.active_since, promoted, rolled, now)
    assert [live_at(shop, when) for when in asked] == [[], [1], [second.version], [1], [1]]

    told = shop.call(
        shop.models.GetBacktest,
        model_versions_pb2.GetBacktestRequest(model="prediction", version=second.version),
    )
    assert {row.kind for row in told.rows} >= {"default", "member", "naive"}
    assert len(told.folds) >= 1
