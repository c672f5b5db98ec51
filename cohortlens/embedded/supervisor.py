"""Starts the stack's services in order, restarts what dies, stops all in reverse; one instance per ``up``.

Runs in the main thread. The first SIGINT, SIGTERM or SIGHUP stops everything within 15 s, the second kills.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType

from cohortlens.core import clock
from cohortlens.core.config import Url
from cohortlens.core.settings import OPS_PROCESSES
from cohortlens.embedded import secrets
from cohortlens.embedded.faults import StackFailed
from cohortlens.embedded.guardian import Guardian
from cohortlens.embedded.logs import rotate
from cohortlens.embedded.processes import (
    identity_of,
    marked,
    marker,
    own_identity,
    send,
    stop_all,
    wait_until,
)
from cohortlens.embedded.restarts import Restarts
from cohortlens.embedded.server_process import not_ready
from cohortlens.embedded.services import (
    CommandService,
    PostgresService,
    Programs,
    RedisService,
    Service,
    standard_programs,
)
from cohortlens.embedded.settings import (
    StackConfig,
    child_environment,
    chosen_ports,
    external_urls,
    own_environment,
)
from cohortlens.embedded.state import ServiceRecord, ServiceState, StackState, remove_state
from cohortlens.embedded.web3 import WEB3, web3_values

_TICK_S = 0.2
_APPLICATIONS_STOP_S = 7.0
_ROTATE_EVERY_S = 5.0


@dataclass(frozen=True)
class StackEvent:
    """Something that happened to a service, for the progress shown to a person.

    Attributes:
        service: Name of the service; ``stack`` for the whole.
        state: Its new state.
        elapsed_s: Seconds since the start of the stack.
        detail: A few words; empty when the state says all.
    """

    service: str
    state: ServiceState
    elapsed_s: float
    detail: str = ""


class StopRequested(BaseException):
    """A signal asked to stop; raised in the main thread wherever it is."""


class Supervisor:
    """Runs one stack from start to stop.

    Args:
        config: Settings.
        environ: Environment that the services inherit.
        on_event: Told of every change.
        programs: What to run beside the servers; the programs of the release when omitted.
    """

    def __init__(
        self,
        config: StackConfig,
        environ: Mapping[str, str],
        on_event: Callable[[StackEvent], None],
        programs: Programs | None = None,
    ) -> None:
        self._config = config
        self._folder = config.folder
        self._base = environ
        self._on_event = on_event
        self._programs = standard_programs(config) if programs is None else programs
        self._began = time.monotonic()
        self._state = StackState(own_identity(), clock.now().isoformat(), config.environment)
        self._marker = marker(config.folder)
        self._services: list[Service] = []
        self._restarts = Restarts(self._note)
        self._guardian: Guardian | None = None
        self._is_stopping = False
        self._web3_dsn = Url("")

    def run(self, on_ready: Callable[[], None]) -> None:
        """Start everything, supervise until a signal, stop everything.

        Args:
            on_ready: Called in a thread of its own once all services are ready; supervision goes on.

        Raises:
            StackFailed: A service did not come up; all that had started was stopped.
        """
        previous = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            # Under nohup a closed terminal is no reason to stop.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            self._start()
            threading.Thread(target=on_ready, name="on-ready", daemon=True).start()
            self._watch()
        except StopRequested:
            self._tell("stack", "stopped", "stopping on request")
        finally:
            self._is_stopping = True
            self._stop()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _start(self) -> None:
        # Without its state written nobody could find the stack's processes, so here a full disk is fatal.
        self._state.write(self._folder)
        self._guardian = Guardian(self._folder, {**self._base, **self._marker})
        self._state.guardian = identity_of(self._guardian.pid)
        values = self._start_servers()
        ports = chosen_ports(self._config)
        self._state.ports.update(ports)
        values |= {
            "HTTP_PORT": str(ports["http"]),
            "GRPC_PORT": str(ports["grpc"]),
            "OPS_PORT": str(ports["ops"]),
        }
        values |= self._mail_values(ports) | self._stripe_values(ports) | self._web3_values(ports)
        environ = {**child_environment(self._base, self._config, values), **self._marker}
        self._migrate(environ)
        logs = self._folder / "logs"
        own_ports = {
            "gateway": ports["http"],
            "jobs": ports["ops"] + OPS_PROCESSES.index("jobs"),
            "workers": ports["ops"] + OPS_PROCESSES.index("workers"),
            "mail": ports.get("smtp", 0),
            "stripe": ports.get("stripe", 0),
            "web3": ports.get("web3", 0),
        }
        beside = (self._programs.mail, self._programs.stripe, self._programs.web3)
        stand_ins = [one for one in beside if one is not None]
        applications = [
            CommandService(
                program, own_environment(program.name, environ), logs, own_ports.get(program.name, 0)
            )
            for program in [*self._programs.applications, *stand_ins]
        ]
        # The gateway answers health while the rest warms; the others then start side by side.
        for group in (applications[:1], applications[1:]):
            for service in group:
                self._add(service)
            for service in group:
                self._await(service)
        self._state.phase = "ready"
        self._state.seconds = round(time.monotonic() - self._began, 2)
        self._write()
        self._tell("stack", "ready", "")

    def _mail_values(self, ports: Mapping[str, int]) -> dict[str, str]:
        """Where mails go, and where their links lead: this machine unless settings say otherwise."""
        values = dict[str, str]()
        if "smtp" in ports:
            values |= {"SMTP_URL": f"smtp://127.0.0.1:{ports['smtp']}", "SMTP_PORT": str(ports["smtp"])}
        if not self._config.public_url:
            values["PUBLIC_URL"] = f"http://127.0.0.1:{ports['http']}"
        return values

    def _stripe_values(self, ports: Mapping[str, int]) -> dict[str, str]:
        """How to reach the stand-in for Stripe, and how to know its webhooks; nothing beside a real key."""
        if "stripe" not in ports:
            return {}
        made = secrets.load_or_create(self._folder)
        return {
            "STRIPE_PORT": str(ports["stripe"]),
            "STRIPE_API_BASE": f"http://127.0.0.1:{ports['stripe']}",
            "STRIPE_API_KEY": made.stripe_key.reveal(),
            "STRIPE_WEBHOOK_SECRETS": made.stripe_webhook.reveal(),
        }

    def _web3_values(self, ports: Mapping[str, int]) -> dict[str, str]:
        """How to reach the web3 sidecar, and what it needs; nothing beside one that runs elsewhere."""
        if "web3" not in ports:
            record = ServiceRecord(
                WEB3, "external", state="ready" if self._config.web3_address else "degraded"
            )
            record.detail = "" if self._config.web3_address else "COHORTLENS_WEB3_DSN is not set"
            self._state.services.append(record)
            return {}
        dsn = self._config.web3_dsn or self._web3_dsn
        return web3_values(self._folder, self._base, ports["web3"], dsn, self._config.web3_token)

    def _start_servers(self) -> dict[str, str]:
        config, values = self._config, {"ARTIFACT_DIR": str(self._config.artifacts)}
        if config.embeds_postgres:
            postgres = PostgresService(self._folder, config.port("postgres"))
            self._add(postgres)
            assert postgres.urls is not None
            admin, runtime, jobs = postgres.urls.admin, postgres.urls.runtime, postgres.urls.jobs
            self._web3_dsn = postgres.urls.web3
        else:
            self._state.services.append(ServiceRecord("postgres", "external", state="ready"))
            admin, runtime, jobs = external_urls(config)
        if config.embeds_redis:
            redis = RedisService(self._folder, config.port("redis"), self._marker)
            self._add(redis)
            values["REDIS_URL"] = redis.url
        else:
            self._state.services.append(ServiceRecord("redis", "external", state="ready"))
        keys = config if config.kek else secrets.load_or_create(self._folder)
        values |= {
            "DATABASE_ADMIN_URL": admin,
            "DATABASE_URL": runtime,
            "JOBS_DATABASE_URL": jobs,
            "KEK": keys.kek.reveal(),
            "KEK_PREVIOUS": keys.kek_previous.reveal(),
        }
        return values

    def _migrate(self, environ: Mapping[str, str]) -> None:
        self._tell("migrate", "starting", "")
        service = CommandService(self._programs.migration, environ, self._folder / "logs")
        service.start()
        code = service.server.wait(service.bound_s)
        if code != 0:
            service.stop()
            raise StackFailed(
                not_ready("migrate", service.server.log, service.bound_s, ended=code is not None)
            )
        self._tell("migrate", "ready", "")

    def _add(self, service: Service) -> None:
        """Launch a service and count it among those to watch and to stop."""
        self._services.append(service)
        self._state.services.append(service.record)
        self._note(service, "starting")
        began = time.monotonic()
        try:
            service.start()
        except StackFailed as failure:
            self._note(service, "failed", failure.reason)
            raise
        if service.is_ready():
            service.record.elapsed_s = round(time.monotonic() - began, 2)
            self._note(service, "ready")

    def _await(self, service: Service) -> None:
        began = time.monotonic()
        try:
            service.server.wait_ready(service.is_ready, service.bound_s)
        except StackFailed as failure:
            if service.name == WEB3:
                # Consents are recorded without it; the watch finds it stopped and starts it again.
                service.stop()
                self._note(service, "degraded", failure.reason)
                return
            self._note(service, "failed", failure.reason)
            raise
        service.record.elapsed_s = round(time.monotonic() - began, 2)
        self._note(service, "ready")

    def _watch(self) -> None:
        rotate_at = 0.0
        while True:
            self._restarts.tick(self._services)
            if time.monotonic() >= rotate_at:
                rotate(self._folder / "logs")
                rotate_at = time.monotonic() + _ROTATE_EVERY_S
            time.sleep(_TICK_S)

    def _note(self, service: Service, state: ServiceState, detail: str = "") -> None:
        record = service.record
        is_new = (record.state, record.detail) != (state, detail)
        if state == "ready":
            service.settle()
        record.state, record.detail, record.identity = state, detail, service.identity
        if record.port:
            self._state.ports[record.name] = record.port
        self._write()
        if is_new:
            self._tell(record.name, state, detail)

    def _tell(self, service: str, state: ServiceState, detail: str) -> None:
        self._on_event(StackEvent(service, state, round(time.monotonic() - self._began, 2), detail))

    def _write(self) -> None:
        try:
            self._state.write(self._folder)
        except OSError as error:
            # A full disk must not take down what still runs.
            self._tell("stack", "degraded", f"its state cannot be written: {error.strerror}")

    def _stop(self) -> None:
        self._state.phase = "stopping"
        self._write()
        servers = [one for one in self._services if not isinstance(one, CommandService)]
        applications = [one for one in self._services if isinstance(one, CommandService)]
        for application in applications:
            application.server.ask_to_stop()
        wait_until(lambda: not any(one.server.is_alive() for one in applications), _APPLICATIONS_STOP_S)
        for application in reversed(applications):
            application.server.stop()
        self._end_marked()
        for service in reversed(servers):
            service.stop()
        if self._guardian is not None:
            self._guardian.dismiss()
        remove_state(self._folder)

    def _end_marked(self) -> None:
        """Kill descendants that outlived their service, such as agents that left its process group."""
        spared = {one.identity for one in self._services} | {self._state.guardian}
        for _ in range(5):
            found = [identity for identity in marked(self._folder) if identity not in spared]
            if not found:
                return
            stop_all(found, signal.SIGKILL, 1.0)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            raise StopRequested
        # Asked twice: nobody waits for a polite end any more.
        for service in self._services:
            if service.identity is not None:
                send(service.identity, signal.SIGKILL)
        for identity in marked(self._folder):
            if identity != self._state.guardian:
                send(identity, signal.SIGKILL)
