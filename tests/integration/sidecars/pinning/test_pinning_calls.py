"""The port ``Pinner`` of the control plane, over gRPC to the sidecar's own service."""

from __future__ import annotations

import grpc
import pytest

from cohortlens.adapters.web3_channel import Web3Channel
from cohortlens.adapters.web3_pins import GrpcPinner
from cohortlens.consent.web3_models import PinKind
from cohortlens.core.errors import CohortLensError, InvalidArgument, NotFound
from cohortlens.core.ids import uuid7
from cohortlens.internal.v1 import web3_pinning_pb2 as pb
from cohortlens.internal.v1 import web3_pinning_pb2_grpc as rpc
from sidecars.web3.calls import Guard
from sidecars.web3.config import Web3Config
from sidecars.web3.pinning.area import open_pinning
from sidecars.web3.servicers.pinning import PinningServicer
from tests.fixtures.pin_sites import receipt

TOKEN = "a token of thirty-two characters"
SIXTY = (bytes(range(251)) * 239_044)[:60_000_000]


@pytest.fixture
async def sidecar(journal, kek, tmp_path):
    """The pinning service on a port; its address and area."""
    area = await open_pinning(Web3Config(data=tmp_path), journal, kek)
    server = grpc.aio.server(interceptors=[Guard(TOKEN)])
    rpc.add_PinningServiceServicer_to_server(PinningServicer(area.pinner), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}", area
    await server.stop(None)
    await area.close()


@pytest.fixture
async def pinner(sidecar):
    channel = Web3Channel(sidecar[0], TOKEN)
    yield GrpcPinner(channel)
    await channel.close()


async def _read(pinner, tenant, **key):
    return b"".join([piece async for piece in pinner.content(tenant, **key)])


async def test_sixty_megabytes_go_in_sealed_and_come_out_as_they_were(pinner):
    tenant, pin_id = uuid7(), uuid7()
    pin = await pinner.pin(tenant, pin_id, PinKind.ARTIFACT, SIXTY)
    assert pin.is_sealed
    assert [(state.backend, state.state) for state in pin.backends] == [("embedded", "PINNED")]
    assert await _read(pinner, tenant, pin_id=pin_id) == SIXTY
    assert await pinner.pin_of(tenant, pin_id) == pin


async def test_a_pin_that_was_let_go_of_is_not_found(pinner):
    tenant, pin_id = uuid7(), uuid7()
    pin = await pinner.pin(tenant, pin_id, PinKind.RECEIPT, receipt())
    assert not pin.is_sealed
    assert await _read(pinner, tenant, cid=pin.cid) == receipt()
    await pinner.unpin(tenant, pin_id)
    await pinner.unpin(tenant, pin_id)
    with pytest.raises(NotFound):
        await pinner.pin_of(tenant, pin_id)
    with pytest.raises(NotFound):
        await _read(pinner, tenant, pin_id=pin_id)


async def test_refusals_keep_their_reason_and_name_the_member_without_its_value(pinner):
    tenant = uuid7()
    with pytest.raises(InvalidArgument) as refused:
        await pinner.pin(tenant, uuid7(), PinKind.RECEIPT, receipt(hour="Ada Lovelace"))
    assert refused.value.reason == "PIN_KIND_REFUSED"
    assert "RECEIPT.hour" in refused.value.message
    assert "Ada" not in refused.value.message
    with pytest.raises(InvalidArgument) as refused:
        await pinner.pin(tenant, uuid7(), PinKind.RECEIPT, bytes(70_000))
    assert refused.value.reason == "PIN_TOO_LARGE"
    with pytest.raises(InvalidArgument) as refused:
        await _read(pinner, tenant, cid="nonsense")
    assert refused.value.reason == "CID_UNSUPPORTED"


async def test_a_stream_that_breaks_off_pins_nothing(sidecar, pinner):
    target, area = sidecar
    tenant, pin_id = uuid7(), uuid7()

    async def broken():
        header = pb.PinHeader(
            tenant_id=tenant.bytes, pin_id=pin_id.bytes, kind=pb.PIN_KIND_REPORT, size_bytes=900_000
        )
        yield pb.PinContentRequest(header=header)
        yield pb.PinContentRequest(chunk=bytes(600_000))

    async with grpc.aio.insecure_channel(target) as channel:
        call = rpc.PinningServiceStub(channel).PinContent(
            broken(), metadata=(("authorization", f"Bearer {TOKEN}"),)
        )
        with pytest.raises(grpc.aio.AioRpcError, match="900000 bytes were announced"):
            await call
    with pytest.raises(NotFound):
        await pinner.pin_of(tenant, pin_id)
    await area.local.collect()
    assert area.local.store.size() == (0, 0)


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "header"),
        ([pb.PinContentRequest(chunk=b"x")], "header"),
        ([pb.PinContentRequest(header=pb.PinHeader(tenant_id=b"short"))], "header.tenant_id"),
        ([pb.PinContentRequest(header=pb.PinHeader(tenant_id=bytes(16), pin_id=bytes(16)))], "kind"),
    ],
)
async def test_a_malformed_stream_is_refused_by_the_name_of_the_field(sidecar, messages, field):
    async def sent():
        for message in messages:
            yield message

    async with grpc.aio.insecure_channel(sidecar[0]) as channel:
        call = rpc.PinningServiceStub(channel).PinContent(
            sent(), metadata=(("authorization", f"Bearer {TOKEN}"),)
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith(f"{field}: ")


async def test_without_the_token_nothing_is_pinned_or_read(sidecar):
    channel = Web3Channel(sidecar[0], TOKEN[::-1])
    stranger = GrpcPinner(channel)
    with pytest.raises(CohortLensError):
        await stranger.pin(uuid7(), uuid7(), PinKind.REPORT, b"x")
    with pytest.raises(CohortLensError):
        await _read(stranger, uuid7(), pin_id=uuid7())
    await channel.close()


async def test_health_says_that_nobody_else_can_fetch_and_when_blocks_are_damaged(sidecar, pinner):
    area = sidecar[1]
    healthy = await area.health()
    assert (healthy.mode, healthy.status) == ("embedded-blockstore", "ok")
    assert "nobody else can fetch them" in healthy.detail
    tenant, pin_id = uuid7(), uuid7()
    await pinner.pin(tenant, pin_id, PinKind.REPORT, b"a report")
    next(area.local.store.folder.glob("blocks/*/*")).write_bytes(b"altered")
    with pytest.raises(CohortLensError):
        await _read(pinner, tenant, pin_id=pin_id)
    damaged = await area.health()
    assert damaged.status == "degraded"
    assert "PIN_CONTENT_CORRUPT" in damaged.detail
