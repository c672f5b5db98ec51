"""The gateway as a process: ports at once, services later, drain at the end, clear faults at the start."""

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.fakes.echo import Echo

ROOT = Path(__file__).resolve().parents[3]
BOUND_S = 20


class Process:
    """A gateway under test, its log and its ports."""

    def __init__(self, process):
        self.process = process
        self.lines = []

    async def until(self, event):
        """The first line with this event, or this plain text."""
        async with asyncio.timeout(BOUND_S):
            while True:
                raw = await self.process.stdout.readline()
                assert raw, f"the process ended before {event}: {self.lines}"
                line = raw.decode().strip()
                self.lines.append(line)
                if line == event or (line.startswith("{") and json.loads(line)["event"] == event):
                    return line

    async def listening(self):
        line = json.loads(await self.until("listening"))
        self.http_port, self.grpc_port = line["http_port"], line["grpc_port"]
        return self

    def channel(self, port=None):
        return grpc.aio.insecure_channel(f"127.0.0.1:{port or self.grpc_port}")

    async def http(self, path, port=None):
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.http_port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(BOUND_S):
            answer = await reader.read()
        writer.close()
        return int(answer.split(b" ", 2)[1])

    async def exit_code(self):
        async with asyncio.timeout(BOUND_S):
            return await self.process.wait()


def environment(**settings):
    """The environment of a gateway on free ports."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("COHORTLENS_")},
        "PYTHONPATH": str(ROOT),
        "COHORTLENS_GRPC_PORT": "0",
        "COHORTLENS_HTTP_PORT": "0",
        "COHORTLENS_OPS_PORT": "0",
        **settings,
    }


@asynccontextmanager
async def gateway(*arguments, **settings):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.fakes.gateway_process",
        *arguments,
        cwd=ROOT,
        env=environment(**settings),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()


async def echo(channel, text="hello", **options):
    call = channel.unary_unary(
        "/tests.echo.Echo/Unary", Echo.SerializeToString, response_deserializer=Echo.FromString
    )
    return await call(Echo(text=text), timeout=BOUND_S, **options)


async def test_the_ports_answer_before_the_services_are_open():
    async with gateway("slow") as process:
        await process.listening()
        assert await process.http("/livez") == 200
        assert await process.http("/readyz") == 503
        async with process.channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await echo(channel)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            assert "starting" in caught.value.details()
            process.process.stdin.write(b"go\n")
            await process.until("ready")
            assert (await echo(channel)).text == "hello"
        assert await process.http("/readyz") == 200


async def test_both_ports_serve_both_doors():
    async with gateway() as process:
        await process.listening()
        await process.until("ready")
        for port in (process.http_port, process.grpc_port):
            assert await process.http("/livez", port) == 200
            async with process.channel(port) as channel:
                assert (await echo(channel)).text == "hello"


@pytest.mark.parametrize("server", ["h2corn", "grpcio"])
async def test_a_stop_lets_a_call_under_way_finish_and_exits_clean(server):
    async with gateway(COHORTLENS_GRPC_SERVER=server) as process:
        await process.listening()
        await process.until("ready")
        async with process.channel() as channel:
            waiting = asyncio.create_task(echo(channel, "wait"))
            watch = channel.unary_stream(
                "/grpc.health.v1.Health/Watch",
                health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )(health_pb2.HealthCheckRequest(), timeout=BOUND_S)
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            # Calls of one connection arrive in order: the one that waits is there.
            await echo(channel)
            process.process.send_signal(signal.SIGTERM)
            await process.until("draining")
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert await watch.read() is grpc.aio.EOF
            assert not waiting.done()
            process.process.send_signal(signal.SIGUSR1)
            assert (await waiting).text == "wait"
        await process.until("closed")
        assert await process.exit_code() == 0


async def test_a_call_that_outlives_the_drain_is_told_to_come_again():
    async with gateway(COHORTLENS_DRAIN_TIMEOUT="300ms") as process:
        await process.listening()
        await process.until("ready")
        async with process.channel() as channel:
            waiting = asyncio.create_task(echo(channel, "wait"))
            await echo(channel)
            process.process.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await waiting
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert await process.exit_code() == 0


async def test_a_second_signal_ends_the_process_at_once():
    async with gateway() as process:
        await process.listening()
        await process.until("ready")
        async with process.channel() as channel:
            waiting = asyncio.create_task(echo(channel, "wait"))
            await echo(channel)
            process.process.send_signal(signal.SIGTERM)
            await process.until("draining")
            process.process.send_signal(signal.SIGTERM)
            assert await process.exit_code() == 143
            with pytest.raises(grpc.aio.AioRpcError):
                await waiting


async def test_a_taken_port_is_named_with_the_setting_to_change():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with gateway(COHORTLENS_GRPC_PORT=str(port)) as process:
            assert await process.exit_code() == 3
            fault = (await process.process.stderr.read()).decode()
    assert f"PORT_IN_USE: 127.0.0.1:{port}" in fault
    assert "COHORTLENS_GRPC_PORT" in fault


async def test_services_that_cannot_be_opened_end_the_process_with_the_stack_in_the_log():
    async with gateway("never") as process:
        line = json.loads(await process.until("gateway_failed"))
        assert "the services are broken" in line["stack"]
        assert await process.exit_code() == 1


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_and_describes_the_services(version):
    async with gateway() as process:
        await process.listening()
        await process.until("ready")
        async with process.channel() as channel:
            call = channel.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )(timeout=BOUND_S)
            await call.write(reflection_pb2.ServerReflectionRequest(list_services="*"))
            names = [one.name for one in (await call.read()).list_services_response.service]
            assert {"tests.echo.Echo", "grpc.health.v1.Health"} <= set(names)
            await call.write(
                reflection_pb2.ServerReflectionRequest(file_containing_symbol="tests.echo.EchoRequest")
            )
            files = (await call.read()).file_descriptor_response.file_descriptor_proto
            assert any(b"tests/echo.proto" in one for one in files)
            hidden = "cohortlens.internal.v1.InferenceService"
            await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=hidden))
            assert (await call.read()).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF


async def test_health_knows_its_names():
    async with gateway() as process:
        await process.listening()
        await process.until("ready")
        async with process.channel() as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            for name in ("", "liveness", "readiness", "tests.echo.Echo"):
                answer = await check(health_pb2.HealthCheckRequest(service=name), timeout=BOUND_S)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await check(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=BOUND_S)
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND
