"""``make drift-bench``: how often drift is reported where there is none, and found where it is.

Orders of the first half of the data are drawn into two disjoint samples again and again: whatever differs
between them is chance. Then one column of the second sample is shifted. No stack, no network.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.drift import statistics
from cohortlens.analytics.drift.comparing import LEVEL, Pair, compare
from cohortlens.analytics.drift.models import ColumnKind, DriftColumn, DriftVerdict
from cohortlens.analytics.drift.order_table import DataUnreadable, OrderTable, read_orders
from cohortlens.core.errors import CohortLensError

DONE, GATE_MISSED, BAD_INPUT = 0, 1, 2
RULES = ("uncorrected", "holm", "bh", "chi2_one_sample", "wasserstein", "psi", "verdict")
"""Ways to alarm: a p-value as it is, after Holm, after Benjamini and Hochberg; the one-sample chi-square; a
distance or an index of .1; the verdict of a report."""

SHIFTS = (0.10, 0.25, 0.50)
_DISTANCE_FROM = 0.1
_GATE, _GOAL = 0.072, 0.05
_FEWEST = 200
_SHIFTED = "amount"

Columns = Mapping[str, NDArray[Any]]
Alarms = dict[str, dict[str, bool]]


def alarms_of(reference: Columns, current: Columns) -> tuple[Alarms, bool]:
    """Which rule alarms for which column.

    Args:
        reference: Columns of one sample.
        current: The same of another.

    Returns:
        Alarm by column and rule, and whether the verdict of the report is WATCH or ACT.
    """
    pairs = [Pair(name, ColumnKind.INPUT, values, current[name]) for name, values in reference.items()]
    verdict, columns = compare(pairs)
    found = {one.name: _alarms(one, reference[one.name], current[one.name]) for one in columns}
    return found, verdict in {DriftVerdict.WATCH, DriftVerdict.ACT}


def measure(columns: Columns, repeats: int, rows: tuple[int, int], seed: int) -> list[dict[str, Any]]:
    """False alarms, then detection.

    Args:
        columns: Columns of all orders that samples are drawn from.
        repeats: How often.
        rows: Rows of the two samples.
        seed: Seed of the draws.

    Returns:
        One row for each column, for any of them, and for each shift: the share of repeats in which each rule
        alarmed; None where a rule does not apply.
    """
    rng = np.random.default_rng(seed)
    size = len(next(iter(columns.values())))
    counts = {name: dict.fromkeys(RULES, 0) for name in [*columns, "any"]}
    shifted = {f"{_SHIFTED} +{shift:.0%}": dict.fromkeys(RULES, 0) for shift in SHIFTS}
    for _ in range(repeats):
        drawn = rng.permutation(size)[: sum(rows)]
        reference = {name: values[drawn[: rows[0]]] for name, values in columns.items()}
        current = {name: values[drawn[rows[0] :]] for name, values in columns.items()}
        alarms, verdict = alarms_of(reference, current)
        _add(counts, alarms, verdict)
        for name, shift in zip(shifted, SHIFTS, strict=True):
            moved = {**current, _SHIFTED: current[_SHIFTED] * (1 + shift)}
            alarms, verdict = alarms_of(reference, moved)
            for rule, is_alarm in (alarms[_SHIFTED] | {"verdict": verdict}).items():
                shifted[name][rule] += is_alarm
    return [
        {
            "column": name,
            "kind": "shift" if name in shifted else "false_alarm",
            **{rule: _share(name, rule, count, columns, repeats) for rule, count in found.items()},
        }
        for name, found in {**counts, **shifted}.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a file; returns the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        table = read_orders(asked.data, _named(asked.columns))
        columns = table.first_half()
        rows = _sizes(len(next(iter(columns.values()))), asked.n_ref, asked.n_cur)
    except CohortLensError as fault:
        sys.stderr.write(f"error {fault.reason}: {fault.message}\n")
        return BAD_INPUT
    before = time.process_time()
    figures = measure(columns, asked.reps, rows, asked.seed)
    document = _document(table, columns, rows, asked, figures, time.process_time() - before)
    sys.stdout.write(_text(document))
    if asked.json is not None:
        asked.json.write_text(json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return GATE_MISSED if asked.strict and not document["gate"]["passed"] else DONE


def _alarms(column: DriftColumn, reference: NDArray[Any], current: NDArray[Any]) -> dict[str, bool]:
    one_sample = False
    if not column.is_numerical:
        counts = statistics.level_counts(reference.tolist(), current.tolist())
        one_sample = statistics.chi_square_one_sample(*counts) < LEVEL
    return {
        "uncorrected": (1.0 if column.p_value is None else column.p_value) <= LEVEL,
        "holm": (1.0 if column.p_holm is None else column.p_holm) <= LEVEL,
        "bh": (1.0 if column.p_adjusted is None else column.p_adjusted) <= LEVEL,
        "chi2_one_sample": one_sample,
        "wasserstein": (column.wasserstein_normed or 0.0) >= _DISTANCE_FROM,
        "psi": (column.psi or 0.0) >= _DISTANCE_FROM,
        "verdict": column.verdict in {DriftVerdict.WATCH, DriftVerdict.ACT},
    }


def _add(counts: dict[str, dict[str, int]], alarms: Alarms, verdict: bool) -> None:
    for name, found in alarms.items():
        for rule, is_alarm in found.items():
            counts[name][rule] += is_alarm
    for rule in RULES:
        any_alarm = verdict if rule == "verdict" else any(found[rule] for found in alarms.values())
        counts["any"][rule] += any_alarm


def _share(name: str, rule: str, count: int, columns: Columns, repeats: int) -> float | None:
    if name != "any":
        values = columns[name if name in columns else _SHIFTED]
        is_numerical = np.issubdtype(values.dtype, np.floating)
        if rule == ("chi2_one_sample" if is_numerical else "wasserstein"):
            return None
    return count / repeats


def _sizes(orders: int, n_ref: int, n_cur: int) -> tuple[int, int]:
    if orders >= n_ref + n_cur:
        return n_ref, n_cur
    if orders < 2 * _FEWEST:
        raise DataUnreadable(
            f"The first half of the data holds {orders} orders; {2 * _FEWEST} are needed for two samples.",
            reason="SAMPLE_TOO_SMALL",
        )
    return orders // 2, orders - orders // 2


def _named(text: str) -> dict[str, str]:
    pairs = [pair.split("=", 1) for pair in text.split(",") if pair]
    if any(len(pair) != 2 for pair in pairs):
        raise DataUnreadable(f"COLUMNS is {text!r}; expected pairs such as customer=kunde,time=wann.")
    return dict(pairs)


def _document(
    table: OrderTable,
    columns: Columns,
    rows: tuple[int, int],
    asked: argparse.Namespace,
    figures: list[dict[str, Any]],
    cpu_s: float,
) -> dict[str, Any]:
    whole = next(one for one in figures if one["column"] == "any")
    worst = max(whole["holm"], whole["bh"], whole["verdict"])
    return {
        "data": {
            "sha256": table.sha256,
            "rows": table.rows,
            "customers": table.customers,
            "orders": len(table.times),
            "orders_drawn_from": len(next(iter(columns.values()))),
            "rejected": dict(table.rejected),
        },
        "reps": asked.reps,
        "n_ref": rows[0],
        "n_cur": rows[1],
        "seed": asked.seed,
        "rows": figures,
        "gate": {"value": worst, "threshold": _GATE, "goal": _GOAL, "passed": worst <= _GATE},
        "cpu_s": round(cpu_s, 2),
        "versions": {name: version(name) for name in ("numpy", "scipy", "pyarrow", "cohortlens")},
    }


def _text(document: Mapping[str, Any]) -> str:
    data, gate = document["data"], document["gate"]
    lines = [
        f"{data['rows']:,} rows, {data['customers']:,} customers, {data['orders']:,} orders, of which "
        f"{data['orders_drawn_from']:,} in the first half; rejected {data['rejected'] or 'none'}",
        f"{document['reps']} repeats, samples of {document['n_ref']} and {document['n_cur']}, "
        f"seed {document['seed']}, {document['cpu_s']} CPU s",
    ]
    for kind, title in (
        ("false_alarm", "share of repeats with an alarm where nothing changed"),
        ("shift", f"share of repeats with an alarm for {_SHIFTED} where it was shifted"),
    ):
        rows = [one for one in document["rows"] if one["kind"] == kind]
        width = max(len(one["column"]) for one in rows)
        lines += ["", title, f"{'':{width}}" + "".join(f"{rule:>17}" for rule in RULES)]
        for one in rows:
            cells = ("-" if one[rule] is None else f"{one[rule]:.1%}" for rule in RULES)
            lines.append(f"{one['column']:{width}}" + "".join(f"{cell:>17}" for cell in cells))
    said = "goal reached" if gate["value"] <= gate["goal"] else "gate passed" if gate["passed"] else "MISSED"
    lines += [
        "",
        f"any column, worst of Holm, BH and verdict: {gate['value']:.1%} "
        f"(goal {_GOAL:.1%}, gate {_GATE:.1%}): {said}",
    ]
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="drift-bench", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="CSV (plain, gz, zst) or Parquet")
    parser.add_argument("--columns", default="", help="columns by field, as customer=kunde,time=wann")
    parser.add_argument("--reps", type=_positive, default=400, help="repeats")
    parser.add_argument("--n-ref", type=_positive, default=900, help="rows of the first sample")
    parser.add_argument("--n-cur", type=_positive, default=800, help="rows of the second sample")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when the gate is missed")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
