"""``cohortlens import``: a file of transactions into the tenant's customers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

import click

from cohortlens.cli.client import Client
from cohortlens.cli.errors import ApiError
from cohortlens.cli.output import EXIT_FINDINGS, NEXT_BY_REASON, Fault, Output, table
from cohortlens.cli.session import Session, calls_api
from cohortlens.cli.waiting import wait_until_final
from cohortlens.v1 import common_pb2, customers_pb2

SHOWN_FAULTS = 50


@click.command("import")
@click.argument("file")
@click.option(
    "--map", "mapping", multiple=True, metavar="FIELD=COLUMN", help="Column of a field; repeatable."
)
@click.option("--dry-run", is_flag=True, help="Validate only; write nothing.")
@click.option("--on-error", type=click.Choice(["skip", "abort"]), default="skip", show_default=True)
@click.option("--currency", default="", help="ISO 4217 currency of the amounts.")
@click.option("--encoding", default="", help="Text encoding of a CSV file; UTF-8 by default.")
@click.option("--delimiter", default="", help="Field delimiter of a CSV file; recognised by default.")
@calls_api("import")
def import_command(
    session: Session, file: str, mapping: tuple[str, ...], on_error: str, **options: Any
) -> None:
    r"""Import transactions from FILE (CSV, plain or compressed, or Parquet; - for standard input).

    \b
    Examples:
      cohortlens import orders.csv --dry-run
      cohortlens import orders.parquet --map customer=client_no
    """
    wanted = customers_pb2.ImportOptions(
        columns=_columns(mapping),
        on_error=customers_pb2.ON_ERROR_ABORT if on_error == "abort" else customers_pb2.ON_ERROR_SKIP,
        file_name="standard input" if file == "-" else Path(file).name,
        **options,
    )
    with open_file(file) as source:
        done = run_import(session.client, session.out, wanted, source)
    faults = _faults(session.client, done)
    session.out.result(import_data(done, faults), _text(done, faults))
    if done.rows.rejected:
        sys.exit(EXIT_FINDINGS)


def run_import(
    client: Client, out: Output, options: customers_pb2.ImportOptions, source: IO[bytes]
) -> customers_pb2.Import:
    """Upload ``source`` and wait for the end of its import.

    Raises:
        Fault: The import failed; the reason is the service's.
    """
    stored = _uploaded(client, options, source)
    identifier = getattr(stored, "import")
    request = customers_pb2.GetImportRequest(**{"import": identifier})
    with out.progress("import") as show:

        def poll() -> customers_pb2.Import:
            found: customers_pb2.Import = getattr(client.call(client.customers.GetImport, request), "import")
            return found

        def tell(found: customers_pb2.Import) -> None:
            show(f"{found.rows.read:,} rows read", found.progress_ratio)

        stored = wait_until_final(stored, poll, tell, f"import {identifier}")
    if stored.state == common_pb2.WORK_STATE_FAILED:
        raise Fault(
            stored.error.reason,
            stored.error.message,
            NEXT_BY_REASON.get(
                stored.error.reason, "correct the file and import it again; nothing was written"
            ),
            "INVALID_ARGUMENT",
            metadata={"import": identifier},
        )
    return stored


def _uploaded(
    client: Client, options: customers_pb2.ImportOptions, source: IO[bytes]
) -> customers_pb2.Import:
    try:
        return client.import_transactions(options, source.read)
    except ApiError as error:
        if error.reason != "SERVICE_UNREACHABLE":
            raise
        raise Fault(
            error.reason,
            f"{error.message}; the upload was not taken, or its answer was lost",
            "cohortlens status, then import the file again: rows already present are not written twice",
            error.code,
        ) from None


def import_data(done: customers_pb2.Import, faults: list[customers_pb2.ImportFault]) -> dict[str, Any]:
    """The ``data`` of the JSON envelope."""
    rows = done.rows
    return {
        "import": getattr(done, "import"),
        "dry_run": done.dry_run,
        "rows": {
            "read": rows.read,
            "accepted": rows.accepted,
            "rejected": rows.rejected,
            "duplicate": rows.duplicate,
        },
        "customers": {"created": done.new_customers, "over": done.customers_over},
        "columns_used": dict(done.columns_used),
        "columns_unused": list(done.columns_unused),
        "rejected_by_reason": dict(done.rejected_by_reason),
        "faults": [
            {"row": f.row, "line": f.line, "column": f.column, "reason": f.reason, "preview": f.preview}
            for f in faults
        ],
    }


def _text(done: customers_pb2.Import, faults: list[customers_pb2.ImportFault]) -> str:
    rows = done.rows
    verb = "would be written" if done.dry_run else "written"
    lines = [
        f"{rows.read:,} rows read: {rows.accepted:,} {verb}, {rows.duplicate:,} already present, "
        f"{rows.rejected:,} rejected; {done.new_customers:,} new customers",
        "columns: " + ", ".join(f"{field}={column}" for field, column in sorted(done.columns_used.items())),
    ]
    if done.customers_over:
        lines.append(f"the plan has no room for {done.customers_over:,} of the new customers")
    if done.columns_unused:
        lines.append("not used: " + ", ".join(done.columns_unused))
    if faults:
        shown = [[str(f.row), str(f.line or ""), f.column, f.reason, f.preview] for f in faults]
        lines.append(table(shown, ["row", "line", "column", "reason", "value"], frozenset({0, 1})))
    if "ENCODING_INVALID" in done.rejected_by_reason:
        lines.append(f"next: {NEXT_BY_REASON['ENCODING_INVALID']}")
    return "\n".join(lines)


def _faults(client: Client, done: customers_pb2.Import) -> list[customers_pb2.ImportFault]:
    if not done.rows.rejected:
        return []
    request = customers_pb2.ListImportFaultsRequest(
        **{"import": getattr(done, "import")}, page_size=SHOWN_FAULTS
    )
    return list(client.call(client.customers.ListImportFaults, request).faults)


def _columns(mapping: tuple[str, ...]) -> dict[str, str]:
    columns = {}
    for pair in mapping:
        field, separator, column = pair.partition("=")
        if not (field and separator and column):
            raise Fault("FIELD_INVALID", f"--map {pair}: expected FIELD=COLUMN", code="INVALID_ARGUMENT")
        columns[field] = column
    return columns


def open_file(file: str) -> IO[bytes]:
    """Open a file for reading; ``-`` is standard input.

    Raises:
        Fault: ``FILE_UNREADABLE``.
    """
    if file == "-":
        return sys.stdin.buffer
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise Fault(
            "FILE_UNREADABLE", f"{file}: {error.strerror}", "check the path", "INVALID_ARGUMENT"
        ) from None
