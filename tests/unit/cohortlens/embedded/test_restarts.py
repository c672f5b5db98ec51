"""A dead service is started again, later each time, until it stays up."""

import pytest

from cohortlens.embedded.faults import Fault, StackFailed
from cohortlens.embedded.restarts import Restarts, delay_s
from cohortlens.embedded.services import Service


class FakeServer:
    def __init__(self):
        self.alive = True
        self.identity = None

    def is_alive(self):
        return self.alive

    def stop(self, *_signals):
        self.alive = False


class FakeService(Service):
    def __init__(self):
        super().__init__("gateway", 10.0)
        self.launches = []
        self.outcome = "ready"
        self._server = FakeServer()

    @property
    def server(self):
        return self._server

    def launch(self):
        self.launches.append(CLOCK[0])
        if self.outcome == "refused":
            raise StackFailed(Fault("PORT_IN_USE", "m", "f", "c", "n"))
        if self.outcome == "disk full":
            raise OSError(28, "No space left on device")
        self.server.alive = self.outcome != "dies"

    def is_ready(self):
        return self.server.alive and self.outcome == "ready"


CLOCK = [0.0]


@pytest.fixture
def service():
    CLOCK[0] = 100.0
    return FakeService()


@pytest.fixture
def run(service):
    seen = []

    def note(one, state, detail=""):
        one.record.state = state
        seen.append((state, detail))

    restarts = Restarts(note, lambda: CLOCK[0])

    def forward(seconds):
        for _ in range(int(seconds * 10)):
            CLOCK[0] += 0.1
            restarts.tick([service])
        return seen

    restarts.tick([service])
    return forward


def test_a_service_that_dies_once_is_back_after_half_a_second(service, run):
    service.server.alive = False
    run(0.4)
    assert service.launches == []
    seen = run(0.4)
    assert len(service.launches) == 1
    assert [state for state, _ in seen] == ["degraded", "starting", "ready"]
    run(120)
    assert len(service.launches) == 1
    assert service.record.restarts == 1


@pytest.mark.parametrize("outcome", ["dies", "refused", "disk full"])
def test_a_service_that_cannot_start_is_tried_ever_more_rarely(service, run, outcome):
    service.outcome = outcome
    service.server.alive = False
    run(200)
    gaps = [round(b - a) for a, b in zip(service.launches, service.launches[1:], strict=False)]
    assert gaps == sorted(gaps), "never sooner than before"
    assert gaps[0] <= 2
    assert gaps[-1] == 30
    service.outcome = "ready"
    run(31)
    assert service.record.state == "ready"


def test_a_service_that_hangs_while_starting_is_stopped_and_started_again(service, run):
    service.server.alive = False
    service.outcome = "hangs"
    seen = run(14)
    assert len(service.launches) == 2
    assert any("did not answer within 10 s" in detail for _, detail in seen)


def test_a_long_quiet_time_forgives_earlier_deaths(service, run):
    for _ in range(4):
        service.server.alive = False
        run(9)
    run(61)
    service.server.alive = False
    before = len(service.launches)
    run(0.8)
    assert len(service.launches) == before + 1


def test_the_delay_is_bounded_after_any_number_of_failures():
    assert delay_s(1) == 0.5
    assert delay_s(10_000) == 30.0
