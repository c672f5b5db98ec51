"""The parent of several gateway processes: which run, which accept, which are replaced; pure decisions.

One process for each slot. A process that ends is replaced, later each time it fails; one that drains by
itself is replaced while it drains; all are replaced one after another when asked to. The loop that feeds
time, signals and real processes is ``gateway/fleet/run.py``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cohortlens.core.telemetry import get_logger
from gateway.fleet.child import Child, Spawn
from gateway.fleet.steering import Burden, weights

_LOG = get_logger(__name__)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
STABLE_S = 30.0
"""Seconds a process must run for its slot's earlier failures to be forgotten."""

SILENT_S = 30.0
"""Seconds without a beat after which a process counts as hung."""

STOP_MARGIN_S = 5.0
"""Seconds beyond its drain that a process has to end."""

EXIT_OK, EXIT_FAILED = 0, 1


@dataclass
class Member:
    """A process and what is known of it.

    Attributes:
        child: The process.
        slot: Its number, from 0.
        started_at: When it was started.
        heard_at: When it last reported.
        ready: Whether it has been ready.
        leaving: Whether it drains, asked by us or by somebody else.
        replaces: Whether it takes the place of one that still serves.
        kill_at: When it is killed; None while nobody asked it to stop.
    """

    child: Child
    slot: int
    started_at: float
    heard_at: float
    ready: bool = False
    leaving: bool = False
    replaces: bool = False
    kill_at: float | None = None
    burden: Burden = Burden()
    cpu_s: float = 0.0

    @property
    def serves(self) -> bool:
        """Whether it takes connections and answers."""
        return self.ready and not self.leaving


@dataclass
class _Slot:
    failures: int = 0
    start_at: float = 0.0


class Parent:
    """The processes of one gateway.

    Args:
        slots: How many processes.
        spawn: Starts one.
        steer: Told the share of the next connections that each slot gets.
        drain_s: Seconds that a process may take to drain.
        ended: Told of each process that has ended, by pid.
    """

    def __init__(
        self,
        slots: int,
        spawn: Spawn,
        steer: Callable[[Sequence[float]], None],
        drain_s: float,
        ended: Callable[[int], None],
    ) -> None:
        self._spawn = spawn
        self._steer = steer
        self._drain_s = drain_s
        self._ended = ended
        self._slots = [_Slot() for _ in range(slots)]
        self._to_replace: list[int] = []
        self._has_been_ready = False
        self._shares: list[float] = []
        self.members: list[Member] = []
        self.stopping = False
        self.exit_code: int | None = None

    def tick(self, now: float) -> None:
        """Look at every process and do what is due; ``exit_code`` is set when all is over."""
        for member in self.members:
            self._listen(member, now)
        for member in [one for one in self.members if one.child.code() is not None]:
            self._reap(member, now)
        for member in self.members:
            self._bound(member, now)
        if self.stopping:
            if not self.members and self.exit_code is None:
                self.exit_code = EXIT_OK
            return
        self._roll(now)
        self._fill(now)
        self._share()

    def stop(self, now: float) -> None:
        """Let every process drain, all at the same time."""
        self.stopping = True
        for member in self.members:
            self._ask(member, now)

    def kill(self) -> None:
        """End every process at once."""
        for member in self.members:
            member.child.send(signal.SIGKILL)

    def replace_all(self) -> None:
        """Replace the processes one after another, each only when its successor is ready."""
        if not self.stopping:
            self._to_replace = list(range(len(self._slots)))
            _LOG.info("replacing", processes=len(self._slots))

    def _listen(self, member: Member, now: float) -> None:
        for event in member.child.events():
            kind = event["event"]
            if kind == "beat":
                seconds = max(now - member.heard_at, 0.05)
                busy = max(0.0, event["cpu_s"] - member.cpu_s) / seconds if member.cpu_s else 0.0
                member.burden = Burden(int(event["connections"]), min(1.0, busy))
                member.cpu_s = event["cpu_s"]
            elif kind == "ready":
                member.ready = self._has_been_ready = True
                _LOG.info("process_ready", process=member.slot, pid=member.child.pid)
            elif kind == "draining":
                member.leaving = True
            member.heard_at = now

    def _reap(self, member: Member, now: float) -> None:
        code, slot = member.child.code(), self._slots[member.slot]
        self._listen(member, now)
        member.child.close()
        self.members.remove(member)
        self._ended(member.child.pid)
        if member.leaving and code == 0:
            _LOG.info("process_stopped", process=member.slot, pid=member.child.pid)
            return
        _LOG.error("process_ended", process=member.slot, pid=member.child.pid, code=code)
        if self.stopping:
            self.exit_code = self.exit_code or EXIT_FAILED
            return
        if not self._has_been_ready and code is not None and code > 0:
            # It never worked: settings or database are wrong for all, and the reason stands in its output.
            self.exit_code = code
            self.stop(now)
            return
        if member.replaces:
            _LOG.error("replacing_given_up", process=member.slot)
            self._to_replace.clear()
            return
        slot.failures = 1 if now - member.started_at > STABLE_S else slot.failures + 1
        slot.start_at = now + _pause(slot.failures)

    def _bound(self, member: Member, now: float) -> None:
        if member.kill_at is not None:
            if now >= member.kill_at:
                _LOG.error("process_does_not_stop", process=member.slot, pid=member.child.pid)
                member.child.send(signal.SIGKILL)
                member.kill_at = now + STOP_MARGIN_S
        elif now - member.heard_at > SILENT_S:
            _LOG.error("process_hangs", process=member.slot, pid=member.child.pid)
            member.child.send(signal.SIGKILL)
            member.heard_at = now

    def _roll(self, now: float) -> None:
        """Move the replacement of all processes on by what is due."""
        if any(one.leaving for one in self.members):
            return
        for new in [one for one in self.members if one.replaces and one.ready]:
            new.replaces = False
            for old in self._at(new.slot):
                if old is not new:
                    self._ask(old, now)
            return
        if self._to_replace and not any(one.replaces for one in self.members):
            slot = self._to_replace.pop(0)
            if self._at(slot):
                self._start(slot, now).replaces = True

    def _fill(self, now: float) -> None:
        for number, slot in enumerate(self._slots):
            if now >= slot.start_at and all(one.leaving for one in self._at(number)):
                self._start(number, now)

    def _start(self, slot: int, now: float) -> Member:
        # While another serves, one that only answers STARTING must not take its connections.
        child = self._spawn(slot, waits=any(one.serves for one in self.members))
        member = Member(child, slot, started_at=now, heard_at=now)
        self.members.append(member)
        return member

    def _share(self) -> None:
        serving = any(one.serves for one in self.members)
        burdens: list[Burden | None] = [None] * len(self._slots)
        for member in self.members:
            if member.serves or (not serving and not member.leaving):
                known = burdens[member.slot]
                burdens[member.slot] = _together(known, member.burden)
        shares = [round(one, 3) for one in weights(burdens)]
        if shares != self._shares:
            self._shares = shares
            self._steer(shares)

    def _at(self, slot: int) -> list[Member]:
        return [one for one in self.members if one.slot == slot]

    def _ask(self, member: Member, now: float) -> None:
        member.leaving = True
        if member.kill_at is None:
            member.kill_at = now + self._drain_s + STOP_MARGIN_S
            member.child.send(signal.SIGTERM)


def _together(one: Burden | None, other: Burden) -> Burden:
    if one is None:
        return other
    return Burden(one.connections + other.connections, min(1.0, one.busy + other.busy))


def _pause(failures: int) -> float:
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (min(failures, 20) - 1))
