"""``cohortlens audit verify | export | keys``: the audit log as evidence."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import click

from cohortlens.audit.export_file import ExportInvalid, verify_export
from cohortlens.audit.lines import LineInvalid, jwks, read_jwks
from cohortlens.audit.models import ChainReport
from cohortlens.cli.output import EXIT_FINDINGS, Fault, Output
from cohortlens.cli.session import Session, calls_api, guarded
from cohortlens.cli.waiting import wait_until_final
from cohortlens.v1 import audit_pb2, common_pb2


@click.group()
def audit() -> None:
    """Export the audit log, fetch its public keys, verify an export without a database."""


@audit.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path),
    help="JSON Web Key Set that was fetched by `cohortlens audit keys` and kept apart from exports.",
)
@guarded("audit verify")
def verify(out: Output, file: Path, key: Path) -> None:
    """Compute the chain of an export again; exit code 8 when a row is wrong.

    Works without a database and without a network.
    """
    try:
        keys = read_jwks(key.read_bytes())
        with file.open("rb") as lines:
            report = verify_export(lines, keys)
    except OSError as error:
        raise Fault(
            "FILE_UNREADABLE", f"{error.filename}: {error.strerror}", "check the path", "INVALID_ARGUMENT"
        ) from None
    except LineInvalid as fault:
        raise Fault(
            "KEY_INVALID", f"{key} {fault}", "cohortlens audit keys --output keys.json", "INVALID_ARGUMENT"
        ) from None
    except ExportInvalid as fault:
        raise Fault("EXPORT_INVALID", f"{file}: {fault}", "export it again", "INVALID_ARGUMENT") from None
    fault_ = report.fault
    data = {
        "ok": fault_ is None,
        "first_bad_seq": None if fault_ is None else fault_.seq,
        "kind": None if fault_ is None else str(fault_.kind),
        "detail": None if fault_ is None else fault_.detail,
        "from_seq": report.from_seq,
        "to_seq": report.to_seq,
        "rows": report.rows,
        "checkpoints": report.checkpoints,
    }
    out.result(data, _text(report))
    if fault_ is not None:
        sys.exit(EXIT_FINDINGS)


@audit.command()
@click.option("--output", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--from", "from_seq", default=0, type=click.IntRange(min=0), help="First row; the oldest if 0.")
@click.option("--to", "to_seq", default=0, type=click.IntRange(min=0), help="Last row; the newest if 0.")
@calls_api("audit export")
def export(session: Session, output: Path, from_seq: int, to_seq: int) -> None:
    """Export rows with their checkpoints as JSON lines."""
    client = session.client
    request = audit_pb2.CreateAuditExportRequest(from_seq=from_seq, to_seq=to_seq)
    stored = client.call(client.audit.CreateAuditExport, request).export
    asked = audit_pb2.GetAuditExportRequest(export=stored.export)

    def poll() -> audit_pb2.AuditExport:
        found: audit_pb2.AuditExport = client.call(client.audit.GetAuditExport, asked).export
        return found

    with session.out.progress("export") as show:
        stored = wait_until_final(
            stored, poll, lambda found: show("rows", found.progress_ratio), f"export {stored.export}"
        )
    if stored.state != common_pb2.WORK_STATE_SUCCEEDED:
        raise Fault(stored.error.reason, stored.error.message, "start another export")
    _fetched(session, stored, output)
    data = {
        "export": stored.export,
        "from_seq": stored.from_seq,
        "to_seq": stored.to_seq,
        "sha256": stored.sha256,
        "bytes": stored.size_bytes,
        "output": str(output),
    }
    session.out.result(data, f"rows {stored.from_seq} to {stored.to_seq} written to {output}")


@audit.command()
@click.option("--output", type=click.Path(path_type=Path), help="File to write; standard output if absent.")
@calls_api("audit keys")
def keys(session: Session, output: Path | None) -> None:
    """Fetch the public keys of checkpoints as a JSON Web Key Set; keep it apart from exports."""
    reply = session.client.call(session.client.audit.ListAuditKeys, audit_pb2.ListAuditKeysRequest())
    found = read_keys(reply)
    if not found:
        raise Fault(
            "KEYS_MISSING", "no checkpoint was signed yet", "cohortlens audit export, then again", "NOT_FOUND"
        )
    document = jwks(found)
    if output is None:
        session.out.result(document, json.dumps(document, indent=2))
        return
    _write(output, json.dumps(document, indent=2).encode() + b"\n")
    session.out.result(document | {"output": str(output)}, f"{len(found)} keys written to {output}")


def read_keys(reply: audit_pb2.ListAuditKeysResponse) -> dict[str, bytes]:
    """The keys of a reply, 32 bytes each, by identifier."""
    found: dict[str, bytes] = {}
    for key in reply.keys:
        found |= read_jwks(json.dumps({"kty": "OKP", "crv": "Ed25519", "kid": key.kid, "x": key.x}).encode())
    return found


def _fetched(session: Session, stored: audit_pb2.AuditExport, output: Path) -> None:
    part, digest = output.with_name(output.name + ".part"), hashlib.sha256()
    try:
        with part.open("wb") as file:
            for piece in session.client.download_audit_export(stored.export):
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != stored.sha256:
            raise Fault(
                "EXPORT_DAMAGED", "the download does not match its digest", "fetch it again", "DATA_LOSS"
            )
        part.replace(output)
    except OSError as error:
        raise _unwritable(output, error) from None
    finally:
        part.unlink(missing_ok=True)


def _write(output: Path, content: bytes) -> None:
    try:
        output.write_bytes(content)
    except OSError as error:
        raise _unwritable(output, error) from None


def _unwritable(output: Path, error: OSError) -> Fault:
    return Fault("FILE_UNWRITABLE", f"{output}: {error.strerror}", "check the path", "INVALID_ARGUMENT")


def _text(report: ChainReport) -> str:
    if report.fault is None:
        return f"rows {report.from_seq} to {report.to_seq} hold; {report.checkpoints} checkpoints verified"
    return f"row {report.fault.seq}: {report.fault.kind}: {report.fault.detail}"
