"""Opening an uploaded file of transactions, whatever its form."""

from __future__ import annotations

from pathlib import Path

from cohortlens.customers.batches import Source
from cohortlens.customers.csvfile import CsvSource
from cohortlens.customers.models import FileEmpty, FileFormat, ImportOptions
from cohortlens.customers.parquet import ParquetSource
from cohortlens.customers.streams import PARQUET_MAGIC


def open_source(path: Path, options: ImportOptions) -> Source:
    """Open an uploaded file: recognise its form, dialect and columns.

    Raises:
        FileFault: The file cannot be used; says why.
        HeaderFault: Its header cannot.
        InvalidArgument: An option is wrong.
    """
    if path.stat().st_size == 0:
        raise FileEmpty("the file is empty")
    with path.open("rb") as file:
        head = file.read(4)
    is_parquet = options.format is FileFormat.PARQUET or (
        options.format is FileFormat.AUTO and head == PARQUET_MAGIC
    )
    return ParquetSource(path, options) if is_parquet else CsvSource(path, options)
