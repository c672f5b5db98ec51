"""The circuit breaker: opens after failures in a row, lets one through after its pause."""

from __future__ import annotations

from cohortlens.adapters.circuit import Circuit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_after_five_failures_in_a_row_for_thirty_seconds():
    clock = Clock()
    circuit = Circuit(clock=clock)
    for _ in range(4):
        circuit.failed()
    assert not circuit.is_open
    circuit.worked()
    for _ in range(5):
        circuit.failed()
    assert circuit.wait_s == 30.0
    clock.now = 29.9
    assert circuit.is_open
    clock.now = 30.0
    assert not circuit.is_open


def test_after_the_pause_one_call_is_on_trial_and_its_end_decides():
    clock = Clock()
    circuit = Circuit(clock=clock)
    for _ in range(5):
        circuit.failed()
    clock.now = 30.0
    circuit.begin()
    assert circuit.is_open, "the others wait for the one on trial"
    circuit.failed()
    clock.now = 59.9
    assert circuit.is_open
    clock.now = 60.0
    circuit.begin()
    circuit.worked()
    assert not circuit.is_open
