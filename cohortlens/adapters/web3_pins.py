"""``Pinner`` over the web3 sidecar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import grpc

from cohortlens.adapters.web3_channel import Web3Channel, identifier, translate
from cohortlens.consent.web3_models import Pin, PinKind, PinState
from cohortlens.core.ids import TenantId
from cohortlens.internal.v1 import web3_pinning_pb2 as pb
from cohortlens.internal.v1 import web3_pinning_pb2_grpc as rpc

_PIECE_BYTES = 512 * 1024
_STREAM_S = 60.0
_KINDS = {
    PinKind.RECEIPT: pb.PIN_KIND_RECEIPT,
    PinKind.STATUS_LIST: pb.PIN_KIND_STATUS_LIST,
    PinKind.OFFER_TERMS: pb.PIN_KIND_OFFER_TERMS,
    PinKind.REPORT: pb.PIN_KIND_REPORT,
    PinKind.ARTIFACT: pb.PIN_KIND_ARTIFACT,
}


class GrpcPinner:
    """Implements ``cohortlens.consent.ports.Pinner``; see there.

    Args:
        channel: The channel to the sidecar.
    """

    def __init__(self, channel: Web3Channel) -> None:
        self._channel = channel

    @property
    def _stub(self) -> rpc.PinningServiceStub:
        return rpc.PinningServiceStub(self._channel.channel)

    async def pin(self, tenant_id: TenantId, pin_id: UUID, kind: PinKind, content: bytes) -> Pin:
        """See the port."""
        header = pb.PinHeader(
            tenant_id=tenant_id.bytes, pin_id=pin_id.bytes, kind=_KINDS[kind], size_bytes=len(content)
        )
        call = self._stub.PinContent(
            _pieces(header, content), timeout=_STREAM_S, metadata=self._channel.metadata
        )
        try:
            return _pin((await call).pin)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from None

    async def content(
        self, tenant_id: TenantId, *, pin_id: UUID | None = None, cid: str | None = None
    ) -> AsyncIterator[bytes]:
        """See the port."""
        request = pb.GetContentRequest(tenant_id=tenant_id.bytes)
        if pin_id is not None:
            request.pin_id = pin_id.bytes
        else:
            request.cid = cid or ""
        call = self._stub.GetContent(request, timeout=_STREAM_S, metadata=self._channel.metadata)
        try:
            async for message in call:
                yield message.chunk
        except grpc.aio.AioRpcError as error:
            raise translate(error) from None
        finally:
            call.cancel()

    async def pin_of(self, tenant_id: TenantId, pin_id: UUID) -> Pin:
        """See the port."""
        request = pb.GetPinRequest(tenant_id=tenant_id.bytes, pin_id=pin_id.bytes)
        return _pin((await self._channel.ask(self._stub.GetPin, request)).pin)

    async def unpin(self, tenant_id: TenantId, pin_id: UUID) -> None:
        """See the port."""
        request = pb.UnpinContentRequest(tenant_id=tenant_id.bytes, pin_id=pin_id.bytes)
        await self._channel.ask(self._stub.UnpinContent, request)


async def _pieces(header: pb.PinHeader, content: bytes) -> AsyncIterator[pb.PinContentRequest]:
    yield pb.PinContentRequest(header=header)
    for start in range(0, len(content), _PIECE_BYTES):
        yield pb.PinContentRequest(chunk=content[start : start + _PIECE_BYTES])


def _pin(reply: pb.Pin) -> Pin:
    return Pin(
        pin_id=identifier(reply.pin_id),
        cid=reply.cid,
        size_bytes=reply.size_bytes,
        is_sealed=reply.is_sealed,
        backends=tuple(PinState(state.backend, state.state, state.reason) for state in reply.backends),
    )
