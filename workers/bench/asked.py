"""What every measurement of the models is asked with, and how it ends: data, seed, JSON, exit code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cohortlens.core.errors import CohortLensError
from workers.bench.transactions import DataUnreadable, Transactions, read_transactions

DONE, GATE_MISSED, BAD_INPUT = 0, 1, 2
"""Exit codes of every measurement."""

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "onnxruntime", "cohortlens")


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with the arguments that all measurements share."""
    made = argparse.ArgumentParser(prog=name, description=description)
    made.add_argument(
        "--data", type=Path, required=True, help="CSV (plain, gz, zst) or Parquet of transactions"
    )
    made.add_argument("--columns", default="", help="columns by field, as customer=kunde,time=wann")
    made.add_argument("--seed", type=int, default=0, help="seed of everything random")
    made.add_argument("--json", type=Path, help="also write the figures to this file")
    made.add_argument("--strict", action="store_true", help="exit with 1 when a gate is missed")
    return made


def data_of(asked: argparse.Namespace) -> Transactions:
    """The transactions that were asked for.

    Raises:
        DataUnreadable: They cannot be read, or ``--columns`` is not a list of fields and columns.
        HeaderFault: A required column is missing.
    """
    pairs = [pair.split("=", 1) for pair in asked.columns.split(",") if pair]
    if any(len(pair) != 2 for pair in pairs):
        raise DataUnreadable(
            f"COLUMNS is {asked.columns!r}; expected pairs such as customer=kunde,time=wann."
        )
    return read_transactions(asked.data, dict(pairs))


def run(main: Callable[[], int]) -> int:
    """Run a measurement; a fault of the input becomes one line with what to do, and exit code 2."""
    try:
        return main()
    except CohortLensError as fault:
        sys.stderr.write(f"error {fault.reason}: {fault.message}\n")
        return BAD_INPUT


def head(data: Transactions) -> dict[str, Any]:
    """The head of every JSON: what was read, and the versions that read it."""
    return {
        "data": {
            "sha256": data.sha256,
            "rows": data.rows,
            "customers": data.customers,
            "rejected": data.rejected,
        },
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def write_json(path: Path | None, document: Mapping[str, Any]) -> None:
    """Write the figures; undefined numbers must be None, never NaN."""
    if path is not None:
        path.write_text(json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n")


def shown(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table in plain text, the first ``left`` columns flush left."""
    widths = [max(len(row[at]) for row in [headings, *rows]) for at in range(len(headings))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(headings), *map(line, rows)])
