"""How a replica measures its load, and how many replicas follow from the loads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from workers.scaling import SETTLE_S, LoadGauge, Targets, Work, replicas_needed

TARGETS = Targets(busy=0.5, rows=100, queue_s=0.02)


class Replica:
    """A replica whose time, CPU and work a test moves."""

    def __init__(self):
        self.now, self.cpu, self.work = 100.0, 5.0, Work(0, 0.0)
        self.gauge = LoadGauge(TARGETS, lambda: self.work, lambda: self.cpu, lambda: self.now)
        self.pass_time(SETTLE_S, cpu=9.0)
        self.gauge.load()

    def pass_time(self, seconds, cpu):
        self.now += seconds
        self.cpu += cpu


def test_a_replica_that_uses_twice_its_share_of_a_core_has_a_load_of_two():
    replica = Replica()
    replica.pass_time(2.0, cpu=2.0)

    assert replica.gauge.load() == pytest.approx(2.0)


def test_only_the_cpu_time_since_the_last_report_counts():
    replica = Replica()
    replica.pass_time(1.0, cpu=1.0)
    replica.gauge.load()
    replica.pass_time(1.0, cpu=0.0)

    assert replica.gauge.load() == 0.0


def test_the_cpu_time_of_a_start_is_no_load():
    replica = Replica()
    gauge = LoadGauge(TARGETS, lambda: replica.work, lambda: replica.cpu, lambda: replica.now)
    replica.pass_time(SETTLE_S / 2, cpu=SETTLE_S)

    assert gauge.load() == 0.0


def test_what_a_replica_has_most_of_is_its_load():
    replica = Replica()
    replica.work = Work(rows=150, queue_s=0.02)
    assert replica.gauge.load() == pytest.approx(1.5)

    replica.work = Work(rows=10, queue_s=0.03)
    assert replica.gauge.load() == pytest.approx(1.5)


def test_a_queue_asks_for_one_more_however_long_it_is():
    replica = Replica()
    replica.work = Work(rows=0, queue_s=60.0)

    assert replica.gauge.load() == 2.0


@pytest.mark.parametrize(
    ("loads", "needed"),
    [([0.0], 1), ([0.9], 1), ([1.0], 1), ([1.01], 2), ([2.4], 3), ([0.5, 0.5], 1), ([0.6, 0.6], 2), ([0.0, 0.0], 1)],
)  # fmt: skip
def test_the_sum_of_the_loads_is_the_number_of_replicas_needed(loads, needed):
    assert replicas_needed(context(loads))[0] == needed


def test_nothing_changes_before_every_replica_has_reported():
    assert replicas_needed(context([5.0], running=["r0", "new"], target=2))[0] == 2
    assert replicas_needed(context([], running=[], target=3))[0] == 3


def test_reports_of_replicas_that_have_left_are_not_counted():
    assert replicas_needed(context([0.4, 9.0], running=["r0"]))[0] == 1


def context(loads, running=None, target=1):
    reported = {f"r{number}": load for number, load in enumerate(loads)}
    return SimpleNamespace(
        aggregated_metrics={"load": reported},
        running_replicas=list(reported) if running is None else running,
        target_num_replicas=target,
    )
