"""Waiting for background work: an outage of the service is not an end of the work."""

from types import SimpleNamespace

import pytest

from cohortlens.cli import waiting
from cohortlens.cli.errors import ApiError
from cohortlens.cli.output import Fault
from cohortlens.v1 import common_pb2

PENDING = SimpleNamespace(state=common_pb2.WORK_STATE_PENDING)
RUNNING = SimpleNamespace(state=common_pb2.WORK_STATE_RUNNING)
SUCCEEDED = SimpleNamespace(state=common_pb2.WORK_STATE_SUCCEEDED)
AWAY = ApiError("UNAVAILABLE", "SERVICE_UNREACHABLE", "nothing answers at this address")


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Time moves by what is slept, and by nothing else."""
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    monkeypatch.setattr(waiting, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: now[0]))
    return now


def script(*answers):
    """A poll that gives or raises each answer in turn, the last one for ever."""
    left = list(answers)

    def poll():
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return poll


def wait(poll, shown=None):
    return waiting.wait_until_final(PENDING, poll, (shown if shown is not None else []).append, "import 7")


def test_each_reading_is_shown_and_the_final_one_returned():
    shown = []
    assert wait(script(PENDING, RUNNING, SUCCEEDED), shown) is SUCCEEDED
    assert shown == [PENDING, RUNNING, SUCCEEDED]


def test_a_service_that_comes_back_in_time_is_waited_for_as_often_as_it_leaves():
    minute = [AWAY] * int(waiting.OUTAGE_S / waiting.POLL_S - 1)
    assert wait(script(*minute, RUNNING, *minute, SUCCEEDED)) is SUCCEEDED


def test_a_service_that_stays_away_is_given_up_and_the_work_said_to_go_on(clock):
    with pytest.raises(Fault) as caught:
        wait(script(RUNNING, AWAY))
    assert caught.value.reason == "SERVICE_UNREACHABLE"
    assert caught.value.exit_code == 7
    assert "import 7 is stored and goes on" in caught.value.message
    assert waiting.OUTAGE_S < clock[0] < 2 * waiting.OUTAGE_S


def test_a_refusal_is_no_outage():
    with pytest.raises(ApiError, match="NOT_FOUND"):
        wait(script(RUNNING, ApiError("NOT_FOUND", "RESOURCE_NOT_FOUND", "import: no such import")))
