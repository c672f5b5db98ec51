"""AuditService: messages to use cases of the audit log, and back."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import rfc8785
from google.api import httpbody_pb2

from cohortlens.audit.export_rows import AuditExport
from cohortlens.audit.filters import parse_filter
from cohortlens.audit.models import ChainedRow, Checkpoint
from cohortlens.bootstrap.services import Audit
from cohortlens.core.paging import PageTokens
from cohortlens.v1 import audit_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import identifier_of, timestamp, work_error
from gateway.servicers.paging import read_page

JSON_LINES = "application/jsonl"


class AuditServicer:
    """One method per RPC of ``cohortlens.v1.AuditService``.

    Args:
        audit: The use cases.
        tokens: Seals the tokens of lists.
    """

    def __init__(self, audit: Audit, tokens: PageTokens) -> None:
        self._log = audit.log
        self._exports = audit.exports
        self._tokens = tokens

    async def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, call: Call
    ) -> pb.ListAuditEventsResponse:
        """A page of rows, newest first."""
        condition = parse_filter(request.filter)

        async def read(cursor: Any, limit: int) -> list[ChainedRow]:
            return await self._log.page(call.context, condition, cursor, limit)

        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListAuditEvents",
            {"filter": request.filter},
            request,
            read,
            lambda row: row.seq,
        )
        return pb.ListAuditEventsResponse(events=[_event(row) for row in rows], next_page_token=following)

    async def GetAuditEvent(self, request: pb.GetAuditEventRequest, call: Call) -> pb.GetAuditEventResponse:
        """One row."""
        return pb.GetAuditEventResponse(event=_event(await self._log.get(call.context, request.seq)))

    async def VerifyAuditChain(
        self, request: pb.VerifyAuditChainRequest, call: Call
    ) -> pb.VerifyAuditChainResponse:
        """Compute the chain again."""
        report = await self._log.verify(call.context, request.from_seq, request.to_seq)
        fault = report.fault
        return pb.VerifyAuditChainResponse(
            ok=fault is None,
            first_bad_seq=0 if fault is None else fault.seq,
            kind=f"AUDIT_FAULT_KIND_{'UNSPECIFIED' if fault is None else fault.kind}",
            detail="" if fault is None else fault.detail,
            from_seq=report.from_seq,
            to_seq=report.to_seq,
            rows=report.rows,
            checkpoints=report.checkpoints,
        )

    async def GetAuditCheckpoint(
        self,
        request: pb.GetAuditCheckpointRequest,  # noqa: ARG002 - as every method
        call: Call,
    ) -> pb.GetAuditCheckpointResponse:
        """The newest checkpoint."""
        found = await self._log.latest_checkpoint(call.context)
        return pb.GetAuditCheckpointResponse(checkpoint=_checkpoint(found))

    async def ListAuditKeys(
        self,
        request: pb.ListAuditKeysRequest,  # noqa: ARG002 - as every method
        call: Call,  # noqa: ARG002 - as every method
    ) -> pb.ListAuditKeysResponse:
        """The public keys of checkpoints."""
        keys = await self._log.public_keys()
        return pb.ListAuditKeysResponse(keys=[_key(kid, raw) for kid, raw in sorted(keys.items())])

    async def CreateAuditExport(
        self, request: pb.CreateAuditExportRequest, call: Call
    ) -> pb.CreateAuditExportResponse:
        """Start an export."""
        stored = await self._exports.start(call.context, request.from_seq, request.to_seq)
        return pb.CreateAuditExportResponse(export=_export(stored))

    async def GetAuditExport(
        self, request: pb.GetAuditExportRequest, call: Call
    ) -> pb.GetAuditExportResponse:
        """One export."""
        found = await self._exports.get(call.context, identifier_of("export", request.export))
        return pb.GetAuditExportResponse(export=_export(found))

    async def DownloadAuditExport(
        self, request: pb.DownloadAuditExportRequest, call: Call
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """The file, piece by piece."""
        export_id = identifier_of("export", request.export)
        pieces = await self._exports.content(call.context, export_id)
        disposition = f'attachment; filename="audit-{export_id}.jsonl"'
        call.response_headers.append(("content-disposition", disposition))
        async for piece in pieces:
            yield httpbody_pb2.HttpBody(content_type=JSON_LINES, data=piece)


def _event(row: ChainedRow) -> pb.AuditEvent:
    meaning = row.meaning()
    return pb.AuditEvent(
        seq=row.seq,
        create_time=timestamp(row.at),
        actor=meaning["actor"],
        on_behalf_of=meaning["on_behalf_of"],
        action=meaning["action"],
        resource=meaning["resource"],
        outcome=f"AUDIT_OUTCOME_{meaning['outcome']}",
        request_id=meaning["request_id"],
        address=meaning["address"],
        details=rfc8785.dumps(meaning["details"]).decode(),
        previous_hash=row.previous_hash,
        hash=row.hash,
    )


def _checkpoint(it: Checkpoint) -> pb.AuditCheckpoint:
    return pb.AuditCheckpoint(
        seq=it.seq, hash=it.hash, create_time=timestamp(it.at), signature=it.signature, kid=it.kid
    )


def _key(kid: str, raw: bytes) -> pb.AuditKey:
    return pb.AuditKey(kid=kid, x=base64.urlsafe_b64encode(raw).rstrip(b"=").decode())


def _export(it: AuditExport) -> pb.AuditExport:
    return pb.AuditExport(
        export=str(it.export_id),
        state=f"WORK_STATE_{it.state}",
        progress_ratio=it.progress_ratio,
        from_seq=it.from_seq,
        to_seq=it.to_seq,
        size_bytes=it.size_bytes,
        sha256=it.sha256,
        error=work_error(it.error_reason, it.error_message),
        create_time=timestamp(it.created_at),
        end_time=timestamp(it.ended_at),
    )
