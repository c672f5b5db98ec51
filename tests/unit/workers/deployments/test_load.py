"""What a replica tells of its load."""

from __future__ import annotations

from workers.deployments.load import WINDOW_S, LoadMeter


class Clock:
    def __init__(self):
        self.s = 100.0

    def __call__(self):
        return self.s


def test_rows_that_nobody_saw_in_flight_are_counted_by_the_time_they_spent():
    clock = Clock()
    meter = LoadMeter(clock)
    for _ in range(100):  # a second of calls of 64 rows, 5 ms of work after 5 ms of waiting
        began = meter.began(64)
        clock.s += 0.005
        meter.ended(64, began, 0.005)
        clock.s += 0.005

    load = meter.load()

    assert meter.rows_in_flight == 0
    assert abs(load.rows_in_flight - 64) < 0.01
    assert abs(load.queue_ms - 5) < 1e-6


def test_the_last_whole_window_stands_until_the_next_one_is_over_and_then_an_idle_one():
    clock = Clock()
    meter = LoadMeter(clock)
    began = meter.began(10)
    clock.s += WINDOW_S
    meter.ended(10, began, 0.0)
    first = meter.load()
    clock.s += WINDOW_S / 2

    assert meter.load() == first
    clock.s += WINDOW_S
    assert meter.load().rows_in_flight == 0.0
    assert meter.load().queue_ms == 0.0


def test_rows_in_flight_now_count_when_they_are_more_than_the_average():
    meter = LoadMeter(Clock())
    meter.began(300)
    assert meter.load().rows_in_flight == 300
