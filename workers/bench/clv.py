"""``make clv-bench``: how good the default model is on any file of transactions, beside every other row.

One table per target: the default, the default for absolute errors, every member, their plain mean and the
naive rows. No command knows a data set's name.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

from threadpoolctl import threadpool_limits

from cohortlens.contracts.asks import PURCHASES, SPEND
from cohortlens.contracts.manifest import SEQUENCE_CELLS
from cohortlens.core.errors import CohortLensError
from workers.bench import asked as asking
from workers.bench.judged import Bench, BenchRow, hold_out, judge
from workers.bench.transactions import day_of
from workers.training.pipeline import NO_SEQUENCE

_HEADINGS = ("mae", "rmse", "corr", "lift10", "gini", "bias", "auc", "cover80", "decile", "fit s")
_FIELDS = ("mae", "rmse", "corr", "lift10", "gini", "bias", "auc", "coverage80", "least_decile", "fit_cpu_s")
_MONEY = frozenset({"mae", "rmse"})
GATES = (("rmse_vs_bgnbd", 1.0), ("coverage_least", 0.72), ("coverage_most", 0.88))
"""What ``STRICT=1`` holds the default to: its error beside its own BG/NBD's, and what its intervals cover."""


def main() -> int:
    """Measure and print; 0, or 1 when a gate is missed and ``--strict`` is given."""
    made = asking.parser("clv-bench", "How good the default model is, beside every other row.")
    made.add_argument("--cut", required=True, help="last day that is known, YYYY-MM-DD")
    made.add_argument("--horizon", type=int, required=True, help="days that are judged")
    made.add_argument("--members", default="", help="members to show, separated by commas; all when empty")
    made.add_argument("--loss", choices=("rmse", "mae"), default="rmse", help="loss whose default is first")
    made.add_argument(
        "--cell", choices=(*SEQUENCE_CELLS, NO_SEQUENCE), default="gru", help="net on weekly sequences"
    )
    asked = made.parse_args()
    if asked.horizon < 1:
        raise CohortLensError(
            f"HORIZON is {asked.horizon}; expected days, at least 1.", reason="HORIZON_UNSUPPORTED"
        )
    with threadpool_limits(limits=1):
        held = hold_out(asking.data_of(asked), day_of(asked.cut), asked.horizon)
        members = tuple(name for name in asked.members.split(",") if name)
        bench = judge(held, members, asked.cell, asked.seed)
    _print(bench, asked.loss)
    asking.write_json(asked.json, asdict(bench))
    missed = missed_gates(bench)
    for line in missed:
        sys.stdout.write(f"missed: {line}\n")
    return asking.GATE_MISSED if missed and asked.strict else asking.DONE


def missed_gates(bench: Bench) -> list[str]:
    """The gates that the default misses, one line each."""
    found = []
    for target, ratios in bench.ratios.items():
        ratio = ratios["rmse_vs_bgnbd"]
        if ratio is not None and ratio > GATES[0][1]:
            found.append(f"{target}: rmse is {ratio:.3f} of its own BG/NBD, more than {GATES[0][1]:g}")
    least, most = GATES[1][1], GATES[2][1]
    found += [
        f"{row.target}: intervals cover {row.coverage80:.1%}, not {least:.0%} to {most:.0%}"
        for row in bench.rows
        if row.model == "default" and row.coverage80 is not None and not least <= row.coverage80 <= most
    ]
    return found


def _print(bench: Bench, loss: str) -> None:
    data = bench.data
    rejected = ", ".join(f"{count:,} {reason}" for reason, count in data["rejected"].items()) or "none"
    sys.stdout.write(
        f"cut {data['cut']}, {data['horizon_days']} days after it: {data['customers']:,} customers, "
        f"{data['purchase_days']:,} purchase-days, spend {data['spend']:,.0f}, active "
        f"{data['active_ratio']:.1%}; rejected rows: {rejected}\n"
    )
    if data["status"] != "OK":
        sys.stdout.write(f"{data['status']}: only naive rows; the default is POPULATION_MEAN\n")
    for target in (PURCHASES, SPEND):
        rows = [row for row in bench.rows if row.target == target]
        if loss == "mae":
            rows.sort(key=lambda row: row.model != "default_mae")
        sys.stdout.write(f"\n{target}\n")
        sys.stdout.write(asking.shown((target, *_HEADINGS), [_cells(row) for row in rows]) + "\n")
        ratios = bench.ratios.get(target, {})
        told = ", ".join(f"{name} {value:.3f}" for name, value in ratios.items() if value is not None)
        sys.stdout.write(f"{told}\n" if told else "")
    _print_selected(bench)


def _cells(row: BenchRow) -> Sequence[str]:
    if row.status != "OK":
        return (row.model, row.reason, *[""] * (len(_FIELDS) - 1))
    return (row.model, *(_figure(name, getattr(row, name), row.target) for name in _FIELDS))


def _figure(name: str, value: float | None, target: str) -> str:
    if value is None:
        return "-"
    if name in _MONEY and target == SPEND:
        return f"{value:,.1f}"
    return f"{value:+.1%}" if name == "bias" else f"{value:.2f}" if name == "fit_cpu_s" else f"{value:.3f}"


def _print_selected(bench: Bench) -> None:
    sys.stdout.write("\n")
    for target, chosen in bench.selected.items():
        weights = ", ".join(f"{name} {weight:.2f}" for name, weight in chosen["weights"].items())
        beaten = f"; beaten by {chosen['beaten_by']} in the backtest" if chosen["beaten_by"] else ""
        level = "" if chosen["multiplier"] == 1.0 else f" x {chosen['multiplier']:.3f}"
        sys.stdout.write(
            f"{target}: {chosen['basis']} of {weights}{level}, {len(chosen['folds'])} folds{beaten}\n"
        )


if __name__ == "__main__":
    sys.exit(asking.run(main))
