"""How long an import takes: ``python -m tests.bench.import_bench --data FILE [--json FILE]``.

Starts a PostgreSQL of its own, uploads the file twice into one tenant and prints a table: the first import and
the same file again. No network beyond loopback, nothing stays. Exit status 0 done, 2 bad input.
"""

# ruff: noqa: T201 - a program that prints

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from cohortlens.core.config import Url
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.paging import PageTokens
from cohortlens.customers.models import ImportOptions
from cohortlens.customers.service import CustomersService
from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.migrations import runner
from tests.fixtures.tenants import register

COLUMNS = (
    "run",
    "state",
    "read",
    "accepted",
    "duplicate",
    "rejected",
    "new customers",
    "upload s",
    "import s",
    "rows/s",
)


async def chunks(path: Path):
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            yield part


async def run(url: Url, path: Path, spool: Path, options: ImportOptions) -> list[dict[str, object]]:
    db = Database(url, 4)
    rows = []
    try:
        tenant = await register(db, "bench")
        service = CustomersService(db, spool, PageTokens(b"b" * 32))
        for name in ("first", "again"):
            start = time.perf_counter()
            stored = await service.start_import(tenant.context(), options, chunks(path))
            uploaded = time.perf_counter()
            await service.run_import(tenant.tenant_id, stored.import_id)
            ended = time.perf_counter()
            done = await service.get_import(tenant.context(), stored.import_id)
            if done.error_reason:
                raise SystemExit(f"{done.error_reason}: {done.error_message}")
            values = (name, done.state.value, done.rows.read, done.rows.accepted, done.rows.duplicate)
            figures = (
                round(uploaded - start, 2),
                round(ended - uploaded, 2),
                round(done.rows.read / (ended - start)),
            )
            rows.append(
                dict(zip(COLUMNS, (*values, done.rows.rejected, done.new_customers, *figures), strict=True))
            )
    finally:
        await db.close()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="How long an import takes.")
    parser.add_argument("--data", required=True, type=Path, help="CSV (plain, gzip, zstd) or Parquet")
    parser.add_argument("--columns", default="", help="field=column,... where names are foreign")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    arguments = parser.parse_args()
    if not arguments.data.is_file():
        print(
            f"FILE_MISSING: --data {arguments.data}: no such file; give the path of a CSV or Parquet file",
            file=sys.stderr,
        )
        return 2
    pairs = dict(pair.split("=", 1) for pair in arguments.columns.split(",") if "=" in pair)
    options = ImportOptions(columns=pairs, file_name=arguments.data.name)
    with tempfile.TemporaryDirectory(prefix="cl-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "data", 0, ephemeral=True)
        urls = server.start()
        try:
            runner.upgrade(urls.admin)
            rows = asyncio.run(run(urls.runtime, arguments.data, Path(folder) / "spool", options))
        except CohortLensError as fault:
            print(f"{fault.reason}: {fault.message}", file=sys.stderr)
            return 2
        finally:
            server.stop()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    widths = [max(len(name), *(len(str(row[name])) for row in rows)) for name in COLUMNS]
    for line in (COLUMNS, *(tuple(row.values()) for row in rows)):
        print("  ".join(str(value).rjust(width) for value, width in zip(line, widths, strict=True)))
    print(f"peak resident memory {peak_mib:.0f} MiB; {arguments.data.stat().st_size:,} bytes")
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"rows": rows, "peak_mib": round(peak_mib)}, indent=1), encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
