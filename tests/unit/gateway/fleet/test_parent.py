"""The parent's decisions over made-up processes and a made-up clock."""

import signal

import pytest

from gateway.fleet.parent import LONGEST_PAUSE_S, SILENT_S, STOP_MARGIN_S, Parent

DRAIN_S = 20.0


class FakeChild:
    """A process that does what a test says."""

    def __init__(self, pid, slot, *, waits):
        self.pid, self.slot, self.waits = pid, slot, waits
        self.signals, self.said, self.exit_code, self.closed = [], [], None, False

    def say(self, event, **fields):
        self.said.append({"event": event, **fields})

    def events(self):
        said, self.said = self.said, []
        return said

    def code(self):
        return self.exit_code

    def send(self, number):
        self.signals.append(number)

    def close(self):
        self.closed = True

    @property
    def runs(self):
        return self.exit_code is None


class House:
    """A parent, its children, and the time."""

    def __init__(self, slots=2):
        self.children, self.shares, self.ended, self.now = [], [], [], 1000.0
        self.parent = Parent(slots, self.spawn, self.shares.append, DRAIN_S, self.ended.append)
        self.tick()

    def spawn(self, slot, *, waits):
        self.children.append(FakeChild(100 + len(self.children), slot, waits=waits))
        return self.children[-1]

    def tick(self, seconds=0.0):
        self.now += seconds
        self.parent.tick(self.now)

    def serving(self):
        """All that run become ready."""
        for child in self.children:
            if child.runs:
                child.say("ready")
        self.tick()
        return self

    def drain(self, child):
        """A process that was asked to stop does so."""
        child.say("draining")
        child.exit_code = 0
        self.tick()

    def running(self):
        return [child for child in self.children if child.runs]


@pytest.fixture
def house():
    return House().serving()


def test_one_process_is_started_for_each_slot_and_the_first_ones_accept_at_once():
    house = House(3)

    assert [child.slot for child in house.children] == [0, 1, 2]
    assert not any(child.waits for child in house.children)


def test_a_killed_process_is_replaced_by_one_that_waits_until_it_can_answer_and_others_are_left_alone(house):
    house.children[1].exit_code = -9
    house.tick()
    assert house.shares[-1] == [1.0, 0.0]
    house.tick(0.2)

    new = house.children[2]
    assert (new.slot, new.waits) == (1, True)
    assert house.children[0].signals == []
    assert house.ended == [101]
    new.say("ready")
    house.tick()
    assert house.shares[-1] == [0.5, 0.5]


def test_when_none_serves_a_new_process_accepts_at_once_so_that_livez_answers(house):
    for child in house.children:
        child.exit_code = -9
    house.tick()
    house.tick(0.2)

    assert [child.waits for child in house.running()] == [False, False]


def test_a_process_that_fails_again_and_again_is_started_ever_later(house):
    pauses = []
    for _ in range(9):
        house.children[-1].exit_code = 1
        died_at, started = house.now, len(house.children)
        while len(house.children) == started:
            house.tick(0.05)
        pauses.append(house.now - died_at)

    assert pauses[0] < 0.2
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE_S, abs=0.2)


def test_a_process_that_drains_by_itself_gets_no_connections_and_is_replaced_while_it_drains(house):
    house.children[0].say("draining")
    house.tick()

    assert house.shares[-1] == [0.0, 1.0]
    assert house.children[2].slot == 0
    house.children[0].exit_code = 0
    house.children[2].say("ready")
    house.tick()
    assert house.shares[-1] == [0.5, 0.5]
    assert len(house.children) == 3


def test_all_are_replaced_one_after_another_and_none_stops_before_its_successor_is_ready(house):
    first, second = house.children
    house.parent.replace_all()
    house.tick()
    [new_first] = house.children[2:]
    assert (new_first.slot, first.signals) == (0, [])

    new_first.say("ready")
    house.tick()
    assert first.signals == [signal.SIGTERM]
    house.tick(5.0)
    assert len(house.children) == 3, "the second waits until the first has drained"
    house.drain(first)
    new_second = house.children[3]
    assert (new_second.slot, second.signals) == (1, [])

    new_second.say("ready")
    house.tick()
    house.drain(second)
    assert house.running() == [new_first, new_second]
    house.tick(5.0)
    assert len(house.children) == 4


def test_a_replacement_that_cannot_start_leaves_the_old_processes_serving(house):
    house.parent.replace_all()
    house.tick()
    house.children[2].exit_code = 1
    house.tick()
    house.tick(SILENT_S / 2)

    assert house.running() == house.children[:2]
    assert all(child.signals == [] for child in house.children[:2])


def test_when_no_process_could_ever_start_the_parent_ends_with_its_exit_code():
    house = House()
    house.children[0].exit_code = 2
    house.tick()
    assert house.children[1].signals == [signal.SIGTERM]
    house.children[1].exit_code = -15
    house.tick()

    assert house.parent.exit_code == 2
    assert len(house.children) == 2


def test_a_stop_asks_all_at_once_and_ends_with_0_when_all_have_drained(house):
    house.parent.stop(house.now)
    assert [child.signals for child in house.children] == [[signal.SIGTERM]] * 2
    for child in house.children:
        house.drain(child)

    assert house.parent.exit_code == 0
    assert house.running() == []


def test_a_process_that_does_not_stop_in_time_is_killed_and_the_exit_code_tells(house):
    house.parent.stop(house.now)
    house.drain(house.children[0])
    house.tick(DRAIN_S + STOP_MARGIN_S)
    assert house.children[1].signals == [signal.SIGTERM, signal.SIGKILL]
    house.children[1].exit_code = -9
    house.tick()

    assert house.parent.exit_code == 1


def test_a_process_that_falls_silent_is_killed(house):
    house.children[0].say("beat", connections=0, cpu_s=1.0)
    house.children[1].say("beat", connections=0, cpu_s=1.0)
    house.tick()
    house.tick(SILENT_S - 1)
    house.children[1].say("beat", connections=0, cpu_s=1.1)
    house.tick(2.0)

    assert house.children[0].signals == [signal.SIGKILL]
    assert house.children[1].signals == []


def test_new_connections_go_where_there_are_fewer(house):
    house.children[0].say("beat", connections=3, cpu_s=1.0)
    house.children[1].say("beat", connections=0, cpu_s=1.0)
    house.tick()

    assert house.shares[-1][1] > 0.9


def test_new_connections_go_where_the_core_is_free(house):
    for seconds in (0.0, 0.9, 1.8):
        house.children[0].say("beat", connections=2, cpu_s=1.0 + seconds)
        house.children[1].say("beat", connections=2, cpu_s=1.0)
        house.tick(1.0)

    assert house.shares[-1][1] > 0.9
