"""Two whole gateways over one PostgreSQL and one Valkey: keys and certificates, and how soon an end is known."""

import asyncio
import base64
import json
import os
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import grpc
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from jwt.algorithms import OKPAlgorithm

from cohortlens.v1 import auth_keys_pb2 as pb
from cohortlens.v1 import auth_oauth_pb2, auth_pb2_grpc, customers_pb2, customers_pb2_grpc
from load.bench.raised import RAISED
from tests.fixtures.certificates import Authority
from tests.integration.identity.conftest import ISSUER, another_session, open_identity

ROOT = Path(__file__).resolve().parents[3]
KEK = bytes(range(1, 33))
SERVER = "gateway.cohortlens.internal"
BOUND_S = 60


class Process:
    """A gateway process, its ports and all it wrote."""

    def __init__(self, process):
        self.process, self.lines, self.ports = process, [], {}
        self._ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self):
        while raw := await self.process.stdout.readline():
            self.lines.append(raw.decode())
            if raw.startswith(b"{"):
                line = json.loads(raw)
                if "http_port" in line:
                    self.ports |= {"http": line["http_port"], "grpc": line["grpc_port"]}
                if line["event"] == "listening_internal":
                    self.ports["internal"] = line["port"]
                if line["event"] == "ready":
                    self._ready.set()

    async def ready(self):
        async with asyncio.timeout(BOUND_S):
            waits = [asyncio.create_task(self._ready.wait()), self._reading]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        assert self._ready.is_set(), "".join(self.lines)[-4000:]
        return self

    async def stop(self):
        self.process.terminate()
        async with asyncio.timeout(BOUND_S):
            await self.process.wait()
            await self._reading

    async def calls(self, secret):
        """Code of a read with a key or token over gRPC."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.ports['grpc']}") as channel:
            return await _read(channel, secret)

    @asynccontextmanager
    async def inside(self, authority, issued):
        """A channel to the internal port."""
        credentials = grpc.ssl_channel_credentials(
            authority.path.read_bytes(), issued.key.read_bytes(), issued.certificate.read_bytes()
        )
        options = [("grpc.ssl_target_name_override", SERVER), ("grpc.use_local_subchannel_pool", 1)]
        target = f"127.0.0.1:{self.ports['internal']}"
        async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
            yield channel

    async def internal(self, authority, issued, secret=None):
        """Code of a read over the internal port."""
        async with self.inside(authority, issued) as channel:
            return await _read(channel, secret)


async def _read(channel, secret):
    metadata = [("authorization", f"Bearer {secret}")] if secret else []
    call = customers_pb2_grpc.CustomersServiceStub(channel).ListCustomers(
        customers_pb2.ListCustomersRequest(), metadata=metadata, timeout=10
    )
    return (await call.code()).name


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "ours")


@asynccontextmanager
async def gateways(environ, number):
    spawned = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", cwd=ROOT, env=environ,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )
        for _ in range(number)
    ]  # fmt: skip
    processes = [Process(one) for one in spawned]
    try:
        yield [await one.ready() for one in processes]
    finally:
        ended = await asyncio.gather(*(one.stop() for one in processes), return_exceptions=True)
        assert not [one for one in ended if one is not None]


@pytest.fixture
async def two(tmp_path, postgres_urls, redis_url, redis_client, database, authority):
    server = authority.issue(SERVER, as_file="server")
    environ = {k: v for k, v in os.environ.items() if not k.startswith("COHORTLENS_")}
    environ |= RAISED | {
        "COHORTLENS_DATABASE_URL": postgres_urls.runtime,
        "COHORTLENS_REDIS_URL": redis_url,
        "COHORTLENS_KEK": base64.b64encode(KEK).decode(),
        "COHORTLENS_ISSUER": ISSUER,
        "COHORTLENS_DATA_DIR": str(tmp_path / "data"),
        "COHORTLENS_GRPC_PORT": "0",
        "COHORTLENS_HTTP_PORT": "0",
        "COHORTLENS_OPS_PORT": "0",
        "COHORTLENS_INTERNAL_PORT": "0",
        "COHORTLENS_INTERNAL_TLS_CA": str(server.authority),
        "COHORTLENS_INTERNAL_TLS_CERT": str(server.certificate),
        "COHORTLENS_INTERNAL_TLS_KEY": str(server.key),
        "COHORTLENS_LOG_LEVEL": "debug",
    }
    async with gateways(environ, 2) as processes:
        yield processes


@pytest.fixture
async def bearer(database, redis_client, tenants):
    """An owner's access token."""
    identity = await open_identity(database, redis_client, kek=KEK)
    pair = await another_session(identity, tenants[0].tenant_id, tenants[0].user_id)
    await identity.close()
    return {"authorization": f"Bearer {pair.access_token}"}


async def dead_on(process, secret, within_s=2.0):
    """Seconds until a process refuses a key, asked over and over; more than ``within_s`` fails."""
    began = time.monotonic()
    while await process.calls(secret) == "OK":
        assert time.monotonic() - began < within_s, "the key still works"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def test_what_one_process_ends_the_other_refuses_within_two_seconds(two, bearer, tenants, authority):
    # One test, since two gateways take a while to start.
    await _follow_keys(two, bearer)
    await _follow_an_account(two, bearer, tenants[0].tenant_id, authority)


async def _follow_keys(two, bearer):
    first, second = two
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{first.ports['http']}") as http:
        body = {"displayName": "export", "scopes": ["customers.read"]}
        made = await http.post("/api/v1/apiKeys", json=body, headers=bearer)
        assert made.status_code == 200, made.text
        assert made.headers["cache-control"] == "no-store"
        secret, key = made.json()["secret"], made.json()["apiKey"]
        assert secret.startswith("cl_test_" + key["prefix"].removeprefix("cl_test_"))
        listed = await http.get("/api/v1/apiKeys", headers=bearer)
        assert secret not in listed.text
        assert [one["apiKey"] for one in listed.json()["apiKeys"]] == [key["apiKey"]]
        assert [await one.calls(secret) for one in two] == ["OK", "OK"]

        denied = await http.post("/api/v1/apiKeys", json=body, headers={"authorization": f"Bearer {secret}"})
        assert (denied.status_code, "SCOPE_MISSING" in denied.text) == (403, True)
        assert (await http.get("/api/v1/customers", headers={"x-api-key": secret})).status_code == 401
        wrong = await http.get("/api/v1/customers", headers={"authorization": f"Bearer {secret[:-1]}!"})
        assert wrong.headers["www-authenticate"] == 'Bearer realm="cohortlens", error="invalid_token"'

        gone = await http.delete(f"/api/v1/apiKeys/{key['apiKey']}", headers=bearer)
        assert gone.status_code == 200
        await dead_on(second, secret)
        assert await first.calls(secret) == "UNAUTHENTICATED"

        leaked = (await http.post("/api/v1/apiKeys", json=body, headers=bearer)).json()["secret"]
        assert await second.calls(leaked) == "OK"
        for shown in (leaked, "cl_test_rubbish"):
            answer = await http.post("/api/v1/apiKeys:revokeLeaked", json={"key": shown})
            assert (answer.status_code, answer.json()) == (200, {})
        await dead_on(second, leaked)
    written = "".join(line for one in two for line in one.lines)
    for one in (secret, leaked):
        assert one not in written
        assert one.split("_")[3][:43] not in written


async def _follow_an_account(two, bearer, tenant_id, authority):
    first, second = two
    name = f"spiffe://shop.example/tenants/{tenant_id}/loader"
    private = ed25519.Ed25519PrivateKey.generate()
    public = json.loads(OKPAlgorithm.to_jwk(private.public_key()))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{first.ports['grpc']}") as channel:
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        metadata = list(bearer.items())
        made = await stub.CreateServiceAccount(
            pb.CreateServiceAccountRequest(
                display_name="loader",
                scopes=["customers.read"],
                certificate_name=name,
                keys=[pb.PublicJwk(kty="OKP", crv="Ed25519", alg="EdDSA", kid="k1", x=public["x"])],
            ),
            metadata=metadata,
        )
        issued = authority.issue("loader.example", uri=name)
        stranger = authority.issue("stranger.example")
        assert await second.internal(authority, issued) == "OK"
        assert await second.internal(authority, stranger) == "UNAUTHENTICATED"
        assert await second.internal(authority, issued, bearer["authorization"][7:]) == "UNAUTHENTICATED"
        account = made.service_account.service_account
        token = await _exchanged(first, account, private)
        assert [await one.calls(token) for one in two] == ["OK", "OK"]
        assert await second.internal(authority, issued, token) == "OK"
        async with second.inside(authority, issued) as inside:
            await _follow_a_token(first, auth_pb2_grpc.AuthServiceStub(inside), account)
        assert await first.calls(token) == "OK"
        await stub.DeleteServiceAccount(
            pb.DeleteServiceAccountRequest(service_account=account), metadata=metadata
        )
    began = time.monotonic()
    while "OK" in (await second.internal(authority, issued), await second.calls(token)):
        assert time.monotonic() - began < 2.0, "the certificate or the token still opens"


async def _follow_a_token(elsewhere, inside, account):
    """A certificate proves the account at the token endpoints: exchange, introspection, revocation."""
    asked = auth_oauth_pb2.ExchangeTokenRequest(grant_type="client_credentials", client_id=account)
    issued = await inside.ExchangeToken(asked)
    assert issued.scope == "customers.read"
    asked.client_id = str(UUID(int=7))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await inside.ExchangeToken(asked)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert await elsewhere.calls(issued.access_token) == "OK"
    token = auth_oauth_pb2.IntrospectTokenRequest(token=issued.access_token)
    assert (await inside.IntrospectToken(token)).client_id == account
    await inside.RevokeToken(auth_oauth_pb2.RevokeTokenRequest(token=issued.access_token))
    await dead_on(elsewhere, issued.access_token)
    assert not (await inside.IntrospectToken(token)).active


async def _exchanged(process, account, private):
    """An access token for an assertion, as RFC 7523 has it."""
    at = int(time.time())
    claims = {"iss": account, "sub": account, "aud": ISSUER, "exp": at + 60, "jti": "once"}
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode(claims, private, "EdDSA", headers={"kid": "k1"}),
    }
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{process.ports['http']}") as http:
        answer = await http.post("/oauth2/token", data=form)
        assert answer.status_code == 200, answer.text
        again = await http.post("/oauth2/token", data=form)
        assert (again.status_code, again.json()["error"]) == (401, "invalid_client")
    return answer.json()["access_token"]
