"""``PinningService`` of ``internal.v1``: streams in, streams out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.internal.v1 import web3_pinning_pb2 as pb
from cohortlens.internal.v1 import web3_pinning_pb2_grpc as rpc
from sidecars.web3.journal.pins import PinRow
from sidecars.web3.pinning.errors import PinKindRefused
from sidecars.web3.pinning.pinner import Pinner
from sidecars.web3.pinning.privacy import SEALED_KINDS

PIECE_BYTES_MOST = 1 << 20
_PREFIX = "PIN_KIND_"
# A service's removal that is still to come is told as what it is to a caller: waiting.
_SHOWN = {"REMOVING": "PENDING"}


class PinningServicer(rpc.PinningServiceServicer):
    """Answers for pins.

    Args:
        pinner: Does the work.
    """

    def __init__(self, pinner: Pinner) -> None:
        self._pinner = pinner

    async def PinContent(
        self, request_iterator: AsyncIterator[pb.PinContentRequest], _context: Any
    ) -> pb.PinContentResponse:
        """Pin content that comes in pieces."""
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("part") != "header":
            raise _invalid("header", "must come first")
        header = first.header
        row = await self._pinner.pin(
            _id(header.tenant_id, "header.tenant_id"),
            _id(header.pin_id, "header.pin_id"),
            _kind(header.kind),
            header.size_bytes,
            _pieces(request_iterator),
        )
        return pb.PinContentResponse(pin=_pin(row))

    async def GetContent(
        self, request: pb.GetContentRequest, _context: Any
    ) -> AsyncIterator[pb.GetContentResponse]:
        """Stream the content of a pin or of a CID."""
        tenant_id = _id(request.tenant_id, "tenant_id")
        key = request.WhichOneof("key")
        if key is None:
            raise _invalid("pin_id", "must be there, or cid")
        found = (
            self._pinner.content(tenant_id, pin_id=_id(request.pin_id, "pin_id"))
            if key == "pin_id"
            else self._pinner.content(tenant_id, cid=request.cid)
        )
        async for piece in found:
            for start in range(0, len(piece), PIECE_BYTES_MOST):
                yield pb.GetContentResponse(chunk=piece[start : start + PIECE_BYTES_MOST])

    async def GetPin(self, request: pb.GetPinRequest, _context: Any) -> pb.GetPinResponse:
        """Show a pin."""
        row = await self._pinner.find(_id(request.tenant_id, "tenant_id"), _id(request.pin_id, "pin_id"))
        return pb.GetPinResponse(pin=_pin(row))

    async def UnpinContent(self, request: pb.UnpinContentRequest, _context: Any) -> pb.UnpinContentResponse:
        """Let go of a pin."""
        await self._pinner.unpin(_id(request.tenant_id, "tenant_id"), _id(request.pin_id, "pin_id"))
        return pb.UnpinContentResponse()


async def _pieces(requests: AsyncIterator[pb.PinContentRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise _invalid("chunk", "must follow the header, and nothing else")
        if len(request.chunk) > PIECE_BYTES_MOST:
            raise _invalid("chunk", f"must have at most {PIECE_BYTES_MOST} bytes")
        yield request.chunk


def _pin(row: PinRow) -> pb.Pin:
    states = [pb.BackendState(backend="embedded", state="PINNED")]
    states += [
        pb.BackendState(
            backend=state.backend, state=_SHOWN.get(state.state, state.state), reason=state.reason
        )
        for state in row.backends
    ]
    return pb.Pin(
        pin_id=row.pin_id.bytes,
        cid=row.cid,
        size_bytes=row.size_bytes,
        is_sealed=row.kind in SEALED_KINDS,
        backends=states,
    )


def _kind(number: int) -> str:
    if number not in pb.PinKind.values() or number == pb.PIN_KIND_UNSPECIFIED:
        raise PinKindRefused("kind: expected RECEIPT, STATUS_LIST, OFFER_TERMS, REPORT or ARTIFACT")
    return pb.PinKind.Name(pb.PinKind.ValueType(number)).removeprefix(_PREFIX)


def _id(data: bytes, field: str) -> UUID:
    if len(data) != 16:
        raise _invalid(field, "must have 16 bytes")
    return UUID(bytes=data)


def _invalid(field: str, expected: str) -> InvalidArgument:
    return InvalidArgument(f"{field}: {expected}", violations=(Violation(field, expected),))
