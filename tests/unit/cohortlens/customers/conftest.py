"""Phase one of an import on bytes."""

from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from cohortlens.customers.importer import Reading, accepted_batches, read_file
from cohortlens.customers.models import ImportOptions

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Result:
    def __init__(self, reading, batches):
        self.reading = reading
        self._batches = batches
        self.faults = [(f.row, f.line, f.column, f.reason, f.preview) for f in reading.faults.kept]
        self.reasons = dict(reading.faults.by_reason)

    @property
    def rows(self):
        return [row for batch in self._batches for row in batch.to_pylist()]

    @property
    def first_row(self):
        return self._batches[0].slice(0, 1).to_pylist()[0]


@pytest.fixture
def read(tmp_path):
    """``read(data, known_currency="", **options)``: the accepted rows, with final keys, and the faults."""

    def run(data, known_currency="", **options):
        source, accepted = tmp_path / "file", tmp_path / "accepted"
        if isinstance(data, bytes):
            source.write_bytes(data)
        else:
            pq.write_table(data, source)
        reading = Reading()
        read_file(source, accepted, ImportOptions(**options), known_currency, NOW, reading)
        return Result(reading, list(accepted_batches(accepted, reading)))

    return run


@pytest.fixture
def csv():
    """``csv("1,2024-01-02,3.50", ...)``: a file with the header customer,date,amount."""

    def build(*rows, header="customer,date,amount"):
        return ("\n".join([header, *rows]) + "\n").encode()

    return build
