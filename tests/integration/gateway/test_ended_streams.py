"""Two real gateways: what is ended on one ends streams under way on the other within 2 s, at both doors."""

from __future__ import annotations

import asyncio
import os
import time

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2

from cohortlens.audit.files import AuditFolder
from cohortlens.core.ids import uuid7
from cohortlens.v1 import (
    analytics_pb2,
    analytics_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    customers_pb2,
    customers_pb2_grpc,
)
from tests.fixtures.gateways import running_gateways
from tests.fixtures.waiting import eventually
from tests.integration.identity.conftest import ISSUER, KEK, another_session, open_identity

BOUND_S = 2.0
PATIENCE_S = 20
EXPORT_BYTES = 48 << 20
REVOKED = ("UNAUTHENTICATED", "TOKEN_REVOKED")


@pytest.fixture
async def identity(database, redis_client):
    service = await open_identity(database, redis_client)
    yield service
    await service.close()


@pytest.fixture
async def two(identity, postgres_urls, redis_url, tmp_path):
    async with running_gateways(
        2, database=postgres_urls.runtime, redis=redis_url, kek=KEK, issuer=ISSUER, data_dir=tmp_path
    ) as started:
        yield started


@pytest.fixture
async def channel(two):
    async with grpc.aio.insecure_channel(two[1].grpc) as channel:
        yield channel


@pytest.fixture
def opened(identity, tenants):
    """Open another session of the same owner."""
    north = tenants[0]

    async def opened():
        return (await another_session(identity, north.tenant_id, north.user_id)).access_token

    return opened


def bearer(secret):
    return (("authorization", f"Bearer {secret}"),)


def told(failed):
    """Code and reason of a failed call."""
    status = status_pb2.Status.FromString(dict(failed.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert any(one.Unpack(info) for one in status.details)
    return failed.code().name, info.reason


async def ended(call):
    """Code and reason with which a call ends, and when."""

    async def read_on():
        async with asyncio.timeout(PATIENCE_S):
            while await call.read() is not grpc.aio.EOF:
                pass

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await read_on()
    return told(failed.value), time.monotonic()


async def log_out(gateway, token):
    """End a session; answers when that was committed, at the latest."""
    answer = await gateway.call("DELETE", "/api/v1/sessions/current", token)
    assert answer.status_code == 200, answer.text
    return time.monotonic()


async def test_a_log_out_ends_predictions_and_uploads_that_are_under_way(
    two, channel, opened, superuser, tmp_path
):
    token, other = await opened(), await opened()
    stub = analytics_pb2_grpc.AnalyticsServiceStub(channel)
    streams = []
    for one in (token, other):
        stream = stub.PredictStream(metadata=bearer(one), timeout=60)
        await stream.write(analytics_pb2.PredictStreamRequest(correlation_id="first"))
        assert (await stream.read()).fault.reason == "FIELD_INVALID"
        streams.append(stream)
    imported = customers_pb2_grpc.CustomersServiceStub(channel).ImportTransactions(
        metadata=bearer(token), timeout=60
    )
    await imported.write(customers_pb2.ImportTransactionsRequest(options={"currency": "EUR"}))
    await imported.write(customers_pb2.ImportTransactionsRequest(chunk=b"customer,date,amount\n"))
    batch = stub.UploadBatchInput(metadata=bearer(token), timeout=60)
    await batch.write(analytics_pb2.UploadBatchInputRequest(options={}))
    await batch.write(analytics_pb2.UploadBatchInputRequest(chunk=b"id,x\n"))
    over_http = await uploading(two[1], token)
    spool = tmp_path / "spool"

    async def are_under_way():
        return len(list(spool.glob("*"))) == 2 and len(list(tmp_path.rglob("upload"))) == 1

    await eventually(are_under_way, PATIENCE_S, "all uploads are on the disk in part")

    at = await log_out(two[0], token)
    for found, then in await asyncio.gather(ended(streams[0]), unary_end(imported), unary_end(batch)):
        assert found == REVOKED
        assert then - at <= BOUND_S
    status, body, then = await over_http
    assert (status, then - at <= BOUND_S) == (401, True)
    assert "TOKEN_REVOKED" in body
    assert "www-authenticate" in body.lower()

    assert not list(spool.glob("*"))
    assert not list(tmp_path.rglob("upload"))
    for table in ("imports", "batch_inputs", "outbox"):
        of_uploads = " WHERE topic <> 'session.revoked'" if table == "outbox" else ""
        assert await superuser.fetchval(f"SELECT count(*) FROM {table}{of_uploads}") == 0, table
    # The other session of the same user goes on.
    await streams[1].write(analytics_pb2.PredictStreamRequest(correlation_id="second"))
    assert (await streams[1].read()).correlation_id == "second"
    await streams[1].done_writing()
    assert await streams[1].code() == grpc.StatusCode.OK


async def unary_end(call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await asyncio.wait_for(call, PATIENCE_S)
    return told(failed.value), time.monotonic()


async def uploading(gateway, token):
    """An upload over HTTP that stops in the middle; the task answers status, head and body, and when."""
    port = gateway.http.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST /api/v1/transactions:import HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        f"authorization: Bearer {token}\r\ncontent-type: text/csv\r\ntransfer-encoding: chunked\r\n\r\n"
        "15\r\ncustomer,date,amount\n\r\n".encode()
    )
    await writer.drain()

    async def answered():
        async with asyncio.timeout(PATIENCE_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            at = time.monotonic()
            writer.write(b"0\r\n\r\n")
            rest = (await reader.read(65536)).decode()
        writer.close()
        return int(head.split()[1]), head + rest, at

    return asyncio.create_task(answered())


async def a_large_export(superuser, tenant_id, root):
    """An export that succeeded, with a file that no buffer on the way holds."""
    export = uuid7()
    await superuser.execute(
        "INSERT INTO audit_exports (tenant_id, id, state, from_seq, to_seq, written_bytes, created_by, ended_at)"
        " VALUES ($1, $2, 'SUCCEEDED', 1, 1, $3, 'job:test', clock_timestamp())",
        tenant_id,
        export,
        EXPORT_BYTES,
    )
    path = AuditFolder(root, tenant_id).result(export)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        os.truncate(file.fileno(), EXPORT_BYTES)
    return str(export)


async def test_a_revoked_key_ends_downloads_that_are_under_way(
    two, channel, opened, tenants, superuser, tmp_path
):
    token = await opened()
    made = await two[0].call(
        "POST", "/api/v1/apiKeys", token, json={"displayName": "loader", "scopes": ["audit.export"]}
    )
    assert made.status_code == 200, made.text
    secret, key = made.json()["secret"], made.json()["apiKey"]["apiKey"]
    export = await a_large_export(superuser, tenants[0].tenant_id, tmp_path / "artifacts")
    download = audit_pb2_grpc.AuditServiceStub(channel).DownloadAuditExport(
        audit_pb2.DownloadAuditExportRequest(export=export), metadata=bearer(secret), timeout=60
    )
    assert len((await download.read()).data) > 0
    async with httpx.AsyncClient(base_url=two[1].http.base_url, timeout=PATIENCE_S) as http:
        request = http.build_request(
            "GET", f"/api/v1/auditExports/{export}/content", headers=dict(bearer(secret))
        )
        response = await http.send(request, stream=True)
        assert response.status_code == 200
        pieces = response.aiter_raw(65536)
        await anext(pieces)

        gone = await two[0].call("DELETE", f"/api/v1/apiKeys/{key}", token)
        assert gone.status_code == 200
        at = time.monotonic()
        # Nobody reads for as long as a change may take; then what was sent is all there is.
        await asyncio.sleep(BOUND_S)
        (found, _), (whole, got) = await asyncio.gather(ended(download), rest_of(pieces))
        await response.aclose()
    assert found == ("UNAUTHENTICATED", "API_KEY_INVALID")
    assert not whole
    assert got < EXPORT_BYTES
    assert time.monotonic() - at < PATIENCE_S


async def rest_of(pieces):
    """Whether a body came to its proper end, and how much came."""
    got = 0
    try:
        async for piece in pieces:
            got += len(piece)
    except httpx.TransportError:
        return False, got
    return True, got
