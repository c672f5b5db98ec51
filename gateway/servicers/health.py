"""Health v1 as ordinary methods of the chain: Check and Watch, for the server, its parts and each service.

Names: ``""`` and ``readiness`` follow readiness, ``liveness`` serves while the process turns, a service
serves while the process is ready and what that service needs is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from grpc_health.v1 import health_pb2

from cohortlens.core.errors import NotFound, ResourceExhausted
from gateway.interceptors.chain import Call
from gateway.registry import MethodTable, Policy, RateClass

SERVICE = "grpc.health.v1.Health"
_MAX_WATCHES = 100
_Status: Any = health_pb2.HealthCheckResponse


class HealthBoard:
    """What health answers; written by ``gateway/app.py``, read by every door.

    Args:
        services: Full names of the services of the process.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._blocks = {"starting"}
        self._down: set[str] = set()
        self._services = frozenset(services)
        self._changed = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether the process takes calls."""
        return not self._blocks

    @property
    def draining(self) -> bool:
        """Whether the process is stopping."""
        return "draining" in self._blocks

    @property
    def stopping(self) -> bool:
        """Whether the process accepts nothing more and ends when the calls under way have ended."""
        return "stopping" in self._blocks

    def blocks(self) -> list[str]:
        """Why the process takes no calls: starting, draining, stopping, postgres; sorted, empty when none."""
        return sorted(self._blocks)

    def block(self, name: str) -> None:
        """Take no calls because of ``name``, until ``unblock``; wakes all watchers."""
        self._blocks.add(name)
        self._wake()

    def unblock(self, name: str) -> None:
        """Let ``name`` no longer keep the process from taking calls; wakes all watchers."""
        self._blocks.discard(name)
        self._wake()

    def set_service(self, service: str, serving: bool) -> None:
        """Say whether what one service needs is there (replicas of analytics); wakes all watchers."""
        (self._down.discard if serving else self._down.add)(service)
        self._wake()

    def serving(self, name: str) -> bool | None:
        """Whether ``name`` serves; None when there is no such name."""
        if name == "liveness":
            return True
        if name in ("", "readiness"):
            return self.ready
        return self.ready and name not in self._down if name in self._services else None

    def next_change(self) -> asyncio.Event:
        """An event that the next change sets; take it before reading, so that no change is missed."""
        return self._changed

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def add_health(table: MethodTable) -> None:
    """Add Check, List and Watch to the table: public, logged at debug level."""
    policy = Policy(public=True, rate_class=RateClass.PUBLIC, quiet=True)
    service = health_pb2.DESCRIPTOR.services_by_name["Health"]
    table.add_service(service, {method.name: policy for method in service.methods})


class HealthServicer:
    """grpc.health.v1.Health.

    Args:
        board: What to answer.
        names: Names that List shows beside the server's own.
    """

    def __init__(self, board: HealthBoard, names: Callable[[], Iterable[str]]) -> None:
        self._board = board
        self._names = names
        self._watches = 0

    async def Check(self, request: health_pb2.HealthCheckRequest, call: Call) -> Any:  # noqa: ARG002
        """The status of one name; NotFound for an unknown one, as the protocol wants."""
        status = self._status(request.service)
        if status == _Status.SERVICE_UNKNOWN:
            raise NotFound("no such service", reason="SERVICE_UNKNOWN")
        return _Status(status=status)

    async def List(self, request: health_pb2.HealthListRequest, call: Call) -> Any:  # noqa: ARG002
        """The status of every name."""
        names = ("", "liveness", "readiness", *self._names())
        return health_pb2.HealthListResponse(
            statuses={name: _Status(status=self._status(name)) for name in names}
        )

    async def Watch(
        self,
        request: health_pb2.HealthCheckRequest,
        call: Call,  # noqa: ARG002
    ) -> AsyncIterator[Any]:
        """The status of one name now and after every change; ends when the process stops.

        Raises:
            ResourceExhausted: Too many watches are open.
        """
        if self._watches >= _MAX_WATCHES:
            raise ResourceExhausted(
                f"at most {_MAX_WATCHES} watches may be open; use Check", reason="CONCURRENCY_LIMITED"
            )
        self._watches += 1
        try:
            was_ready, last = False, None
            while True:
                change, ready, status = (
                    self._board.next_change(),
                    self._board.ready,
                    self._status(request.service),
                )
                if status != last:
                    last = status
                    yield _Status(status=status)
                if was_ready and not ready:
                    return
                was_ready = ready
                await change.wait()
        finally:
            self._watches -= 1

    def _status(self, name: str) -> Any:
        serving = self._board.serving(name)
        if serving is None:
            return _Status.SERVICE_UNKNOWN
        return _Status.SERVING if serving else _Status.NOT_SERVING
