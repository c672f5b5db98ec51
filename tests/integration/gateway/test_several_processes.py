"""Several gateway processes on the same ports, under load: replaced, killed, drained, and what callers see."""

import asyncio
import json
import os
import re
import signal
import socket
import struct
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from cohortlens.embedded.processes import identity_of
from tests.fakes.echo import Echo
from tests.fixtures.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
BOUND_S = 30
RATE = 200


class Fleet:
    """A parent with its processes and all they log."""

    def __init__(self, process):
        self.process, self.lines = process, []
        self._reading = asyncio.create_task(self._read())

    async def _read(self):
        while raw := await self.process.stdout.readline():
            if raw.startswith(b"{"):
                self.lines.append(json.loads(raw))

    def logged(self, event, **fields):
        return [one for one in self.lines if one["event"] == event and fields.items() <= one.items()]

    async def until(self, event, number=1):
        return await eventually(lambda: self.logged(event)[number - 1 :], BOUND_S, f"{number} x {event}")

    async def started(self, processes):
        [sharing, *_] = await self.until("sharing")
        self.http_port, self.grpc_port = sharing["http_port"], sharing["grpc_port"]
        self.ops_port = sharing["ops_port"]
        await self.until("process_ready", processes)
        return self

    def pids(self):
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(one) for one in text.split()]

    def channel(self):
        # A connection of its own: channels of one process else share one.
        return grpc.aio.insecure_channel(
            f"127.0.0.1:{self.grpc_port}", options=[("grpc.use_local_subchannel_pool", 1)]
        )

    async def http(self, path, port=None):
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.http_port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(BOUND_S):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split(b" ", 2)[1]), body.decode()

    async def counted(self):
        """Echo calls that ended, over all processes; only complete when none is under way."""
        _, body = await self.http("/metrics", self.ops_port)
        found = re.findall(r"^grpc_server_handled_total\{[^}]*tests\.echo[^}]*\} (\S+)$", body, re.MULTILINE)
        return sum(map(float, found))

    async def exit_code(self):
        async with asyncio.timeout(BOUND_S):
            code = await self.process.wait()
            await self._reading
            return code


def runs(pid):
    """Whether a process runs; one that only waits to be reaped does not."""
    return identity_of(pid) is not None


@asynccontextmanager
async def fleet(processes=2, *arguments, **settings):
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("COHORTLENS_")},
        "PYTHONPATH": str(ROOT),
        "COHORTLENS_GRPC_PORT": "0",
        "COHORTLENS_HTTP_PORT": "0",
        "COHORTLENS_OPS_PORT": "0",
        "COHORTLENS_GATEWAY_PROCESSES": str(processes),
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.gateway_process", *arguments),
        cwd=ROOT,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    made = Fleet(process)
    try:
        yield made
    finally:
        if process.returncode is None:
            process.terminate()
            await made.exit_code()
        process._transport.close()


async def echo(channel, text="hello"):
    call = channel.unary_unary(
        "/tests.echo.Echo/Unary", Echo.SerializeToString, response_deserializer=Echo.FromString
    )
    return await call(Echo(text=text), timeout=BOUND_S)


class Load:
    """Calls at a fixed rate over a few connections, each counted as answered or failed."""

    def __init__(self, channels):
        self.channels, self.answered, self.failed = channels, 0, []
        self._stop, self._calls = asyncio.Event(), set()

    async def __aenter__(self):
        self._clock = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, *_):
        self._stop.set()
        await self._clock
        await asyncio.gather(*self._calls)

    async def _send(self):
        began = time.monotonic()
        number = 0
        while not self._stop.is_set():
            call = asyncio.create_task(self._call(self.channels[number % len(self.channels)]))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            number += 1
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))

    async def _call(self, channel):
        try:
            await echo(channel)
            self.answered += 1
        except grpc.aio.AioRpcError as error:
            self.failed.append(error)


@asynccontextmanager
async def load(made, channels=4):
    opened = [made.channel() for _ in range(channels)]
    try:
        async with Load(opened) as running:
            await asyncio.sleep(0.5)
            yield running
            await asyncio.sleep(0.5)
    finally:
        for one in opened:
            await one.close()


async def test_all_processes_are_replaced_under_load_and_no_call_fails():
    async with fleet() as made:
        await made.started(2)
        before = made.pids()
        async with load(made) as running:
            made.process.send_signal(signal.SIGHUP)
            await made.until("process_stopped", 2)

        assert running.failed == []
        assert running.answered > RATE
        assert len(made.pids()) == 2
        assert set(before).isdisjoint(made.pids())


async def test_a_process_that_is_told_to_stop_drains_under_load_and_no_call_fails():
    async with fleet() as made:
        await made.started(2)
        async with load(made) as running:
            os.kill(made.pids()[0], signal.SIGTERM)
            await made.until("process_stopped")
            await made.until("process_ready", 3)

        assert running.failed == []
        assert running.answered > RATE


async def test_a_killed_process_is_replaced_and_the_connections_of_the_other_do_not_notice():
    async with fleet() as made:
        await made.started(2)
        victim, other = made.pids()
        channels = [made.channel() for _ in range(8)]
        try:
            async with Load(channels) as running:
                await eventually(lambda: running.answered > len(channels), BOUND_S)
                os.kill(victim, signal.SIGKILL)
                await made.until("process_ready", 3)
                await asyncio.sleep(0.5)
        finally:
            for one in channels:
                await one.close()

        assert other in made.pids()
        assert len(made.pids()) == 2
        # What the dead process had under way is lost, and nothing else: 8 connections have a call or two each.
        assert len(running.failed) <= 2 * len(channels)
        assert {error.code() for error in running.failed} <= {grpc.StatusCode.UNAVAILABLE}


async def test_the_page_of_metrics_counts_the_calls_of_all_processes_also_of_those_that_ended():
    async with fleet() as made:
        await made.started(2)
        channels = [made.channel() for _ in range(12)]
        for channel in channels:
            await echo(channel)
        assert await made.counted() == 12
        for channel in channels:
            await channel.close()

        os.kill(made.pids()[0], signal.SIGKILL)
        assert await made.counted() == 12
        await made.until("process_ready", 3)
        made.process.send_signal(signal.SIGHUP)
        await made.until("process_stopped", 2)

        assert await made.counted() == 12


async def test_a_stop_ends_every_process_and_frees_the_ports():
    async with fleet(3) as made:
        await made.started(3)
        pids = made.pids()
        made.process.send_signal(signal.SIGTERM)

        assert await made.exit_code() == 0
        assert not any(map(runs, pids))
        assert {one["process"] for one in made.logged("stopped") if "process" in one} == {0, 1, 2}
        for port in (made.http_port, made.grpc_port):
            socket.create_server(("127.0.0.1", port)).close()


async def test_when_the_parent_is_killed_its_processes_drain_and_end():
    async with fleet() as made:
        await made.started(2)
        pids = made.pids()
        made.process.kill()

        await eventually(lambda: not any(map(runs, pids)), BOUND_S)


async def test_a_taken_port_is_told_at_the_start_also_when_its_holder_would_share_it():
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        async with fleet(2, COHORTLENS_GRPC_PORT=str(port)) as made:
            assert await made.exit_code() == 3
            told = (await made.process.stderr.read()).decode()
            assert f"PORT_IN_USE: 127.0.0.1:{port} is taken" in told
            assert "COHORTLENS_GRPC_PORT" in told


async def test_processes_that_cannot_open_their_services_end_the_parent_with_their_exit_code():
    async with fleet(2, "never") as made:
        assert await made.exit_code() == 1


async def test_a_client_that_never_reconnects_gets_every_answer_that_was_promised():
    """After GOAWAY, each request up to its last stream is answered; a later one was not worked on."""
    async with fleet() as made:
        await made.started(2)
        client = RawClient(made.grpc_port)
        asked = asyncio.create_task(asyncio.to_thread(client.run))
        await eventually(lambda: len(client.answered) > 20, BOUND_S)
        made.process.send_signal(signal.SIGHUP)
        await asked

        assert client.last_stream is not None
        promised = {stream for stream in client.sent if stream <= client.last_stream}
        assert promised <= client.answered
        # A request that crossed with the end of the connection may get no word at all; none before it is refused.
        assert all(stream > client.last_stream for stream in client.refused)


class RawClient:
    """Sends ``GET /livez`` on one HTTP/2 connection every 2 ms until the server closes it."""

    DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
    REFUSED_STREAM = 7

    def __init__(self, port):
        self.port = port
        self.sent, self.answered, self.refused, self.last_stream = set(), set(), set(), None

    def run(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=BOUND_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(self.SETTINGS))
            connection.settimeout(0.002)
            rest = b""
            while True:
                if self.last_stream is None:
                    self.ask(connection)
                try:
                    part = connection.recv(65536)
                except TimeoutError:
                    continue
                except ConnectionResetError:
                    return
                if not part:
                    return
                rest = self.take(connection, rest + part)

    def ask(self, connection):
        stream = 2 * len(self.sent) + 1
        path = b"/livez"
        # :method GET, :scheme http from the static table; :path and :authority as literals.
        block = bytes([0x82, 0x86, 0x04, len(path)]) + path + bytes([0x01, 1]) + b"x"
        connection.sendall(self.frame(self.HEADERS, 5, stream, block))
        self.sent.add(stream)

    def take(self, connection, rest):
        while len(rest) >= 9 and len(rest) >= 9 + (size := int.from_bytes(rest[:3])):
            kind, flags, stream = rest[3], rest[4], int.from_bytes(rest[5:9])
            body, rest = rest[9 : 9 + size], rest[9 + size :]
            if kind == self.SETTINGS and not flags:
                connection.sendall(self.frame(self.SETTINGS, 1))
            elif kind in (self.DATA, self.HEADERS) and flags & 1:
                self.answered.add(stream)
            elif kind == self.RST_STREAM and int.from_bytes(body) == self.REFUSED_STREAM:
                self.refused.add(stream)
            elif kind == self.GOAWAY and self.last_stream is None:
                self.last_stream = int.from_bytes(body[:4])
        return rest

    @staticmethod
    def frame(kind, flags=0, stream=0, body=b""):
        return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body
