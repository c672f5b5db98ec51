"""TLS on the public ports: both doors speak it, plain callers and old versions get nowhere."""

from __future__ import annotations

import asyncio
import ssl

import grpc
import pytest

from tests.fixtures.certificates import Authority
from tests.integration.gateway.test_grpc_door_process import BOUND_S, echo, gateway

NAME = "api.shop.example"


@pytest.fixture
def tls(tmp_path):
    return Authority(tmp_path, "authority").issue(NAME)


def settings(tls):
    return {"COHORTLENS_TLS_CERT": str(tls.certificate), "COHORTLENS_TLS_KEY": str(tls.key)}


async def get(port, context, path="/livez"):
    opening = asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)
    reader, writer = await asyncio.wait_for(opening, BOUND_S)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), BOUND_S)
    writer.close()
    return int(answer.split(b" ", 2)[1])


async def test_both_doors_speak_tls_and_nothing_else(tls):
    async with gateway(**settings(tls)) as process:
        await process.listening()
        await process.until("ready")
        trusting = ssl.create_default_context(cafile=str(tls.authority))
        assert await get(process.http_port, trusting) == 200
        credentials = grpc.ssl_channel_credentials(tls.authority.read_bytes())
        options = [("grpc.ssl_target_name_override", NAME)]
        async with grpc.aio.secure_channel(f"127.0.0.1:{process.grpc_port}", credentials, options) as channel:
            assert (await echo(channel)).text == "hello"
        with pytest.raises((OSError, IndexError, ValueError)):
            await process.http("/livez")
        with pytest.raises(ssl.SSLCertVerificationError):
            await get(process.http_port, ssl.create_default_context())
        old = ssl.create_default_context(cafile=str(tls.authority))
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await get(process.http_port, old)
