"""How long an import takes: ``make bench-import DATA=FILE`` (``python -m load.bench.importing FILE``).

Starts a PostgreSQL of its own, uploads the file twice into one tenant and prints a table: the first import
and the same file again. Nothing stays. Exit code 0 done, 2 bad input.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from cohortlens.cli.output import table
from cohortlens.core.config import Url
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.paging import PageTokens
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.models import Import, ImportOptions
from cohortlens.customers.service import CustomersService
from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.migrations import runner
from load.bench.tenants import registered, request_of

CHUNK_BYTES = 1 << 20
HEADER = ["run", "read", "accepted", "duplicate", "rejected", "customers", "upload s", "import s", "rows/s"]


async def measure(url: Url, path: Path, spool: Path) -> list[list[str]]:
    """Import ``path`` twice; one row of the table each."""
    db = Database(url, 4)
    try:
        owner = await registered(db)
        service = CustomersService(db, spool, PageTokens(b"b" * 32), TenantKeys(b"b" * 32))
        rows = []
        for name in ("first", "again"):
            start = time.perf_counter()
            options = ImportOptions(file_name=path.name)
            stored = await service.start_import(request_of(owner), options, _chunks(path))
            uploaded = time.perf_counter()
            await service.run_import(owner.tenant_id, stored.import_id)
            ended = time.perf_counter()
            done = await service.get_import(request_of(owner, 3600.0), stored.import_id)
            rows.append(_row(name, done, uploaded - start, ended - uploaded))
        return rows
    finally:
        await db.close()


def main() -> int:
    """Run the benchmark; returns the exit code."""
    path = Path(sys.argv[1]) if len(sys.argv) == 2 else Path()
    if not path.is_file():
        sys.stderr.write("error FILE_MISSING: give one file\nnext: make bench-import DATA=orders.parquet\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="cl-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "data", 0, ephemeral=True)
        urls = server.start()
        try:
            runner.upgrade(urls.admin)
            rows = asyncio.run(measure(urls.runtime, path, Path(folder) / "spool"))
        except CohortLensError as fault:
            sys.stderr.write(f"error {fault.reason}: {fault.message}\n")
            return 2
        finally:
            server.stop()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size_mib = path.stat().st_size / 2**20
    sys.stdout.write(f"{table(rows, HEADER, frozenset(range(1, 9)))}\n")
    sys.stdout.write(f"file {size_mib:,.1f} MiB; peak resident memory {peak_mib:,.0f} MiB\n")
    return 0


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(CHUNK_BYTES):
            yield part


def _row(name: str, done: Import, upload_s: float, import_s: float) -> list[str]:
    if done.error_reason:
        raise SystemExit(f"error {done.error_reason}: {done.error_message}")
    counts = (done.rows.read, done.rows.accepted, done.rows.duplicate, done.rows.rejected, done.new_customers)
    rate = done.rows.read / (upload_s + import_s)
    return [name, *(f"{count:,}" for count in counts), f"{upload_s:.2f}", f"{import_s:.2f}", f"{rate:,.0f}"]


if __name__ == "__main__":
    sys.exit(main())
