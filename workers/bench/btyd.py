"""``make bench-btyd``: CPU seconds of fits and lifetime values, beside the lifetimes package in one run.

Customers are drawn from a BG/NBD with the published CDNOW parameters, so every row can be checked against the
truth. The reference runs in an environment of its own on the same arrays; both are timed by process CPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.bench.asked import DONE, GATE_MISSED, run, shown, write_json
from workers.bench.histories import history_at
from workers.bench.published import CDNOW, CUT
from workers.bench.transactions import day_of, read_transactions
from workers.runtime.btyd import expected_purchases, lifetime_ratio
from workers.runtime.btyd_money import GammaGamma, expected_value
from workers.training.btyd.fitting import fit

FloatArray = NDArray[np.float64]

TRUTH = {"r": 0.2426, "alpha": 30.895, "a": 0.7929, "b": 2.4259}
OBSERVED_DAYS, JOINING_DAYS = 273, 84
YEAR_DAYS, DISCOUNT = 360, 0.10
FASTER = 5.0
REPEATS = 3
_MONEY = GammaGamma(6.25, 3.744, 15.444)


@dataclass(frozen=True)
class Timing:
    """One row of the table.

    Attributes:
        what: What was done.
        ours_s: CPU seconds, best of three.
        reference_s: The same by lifetimes; None where it was not asked or cannot.
        goal_s: At most this.
        difference: Largest relative difference of the two answers; None where there is nothing to compare.
    """

    what: str
    ours_s: float
    reference_s: float | None
    goal_s: float
    difference: float | None = None

    @property
    def factor(self) -> float | None:
        """How many times faster than the reference."""
        return None if self.reference_s is None else self.reference_s / max(self.ours_s, 1e-9)


def draw(customers: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Histories of customers of a BG/NBD, in whole days.

    Args:
        customers: How many.
        seed: Seed of everything random.

    Returns:
        x, t_x and age, shape (customers,) each.
    """
    rng = np.random.default_rng(seed)
    rate = rng.gamma(TRUTH["r"], 1.0 / TRUTH["alpha"], customers)
    coin = rng.beta(TRUTH["a"], TRUTH["b"], customers)
    age = OBSERVED_DAYS - rng.integers(0, JOINING_DAYS, customers).astype(np.float64)
    x, last, now = np.zeros(customers), np.zeros(customers), np.zeros(customers)
    alive = np.arange(customers)
    while len(alive):
        now[alive] += rng.exponential(1.0, len(alive)) / np.maximum(rate[alive], 1e-12)
        alive = alive[now[alive] < age[alive]]
        x[alive] += 1
        last[alive] = now[alive]
        alive = alive[rng.random(len(alive)) >= coin[alive]]
    return x, np.minimum(np.ceil(last), age), age


def measure(customers: int, seed: int, reference: Path | None) -> list[Timing]:
    """Time everything.

    Args:
        customers: Customers of the large rows.
        seed: Seed of the customers.
        reference: Python of an environment with lifetimes; its columns stay empty without.
    """
    cdnow = history_at(read_transactions(CDNOW).days, day_of(CUT), YEAR_DAYS)
    small = (cdnow.x, cdnow.t_x, cdnow.age)
    large, million = draw(customers, seed), draw(10 * customers, seed + 1)
    theirs = _reference(reference, small, large) if reference is not None else {}
    bg, bg_s = _best(lambda: fit("bgnbd", *large))
    _, million_s = _best(lambda: fit("bgnbd", *million))
    _, mbg_s = _best(lambda: fit("mbgnbd", *large))
    _, small_s = _best(lambda: fit("paretonbd", *small))
    _, pareto_s = _best(lambda: fit("paretonbd", *large))
    money = np.full(customers, 35.0)

    def value() -> FloatArray:
        p = bg.parameters
        spend = expected_purchases(p, *large, YEAR_DAYS) * expected_value(_MONEY, large[0], money)
        return spend * lifetime_ratio(p, large[0], large[2], YEAR_DAYS, DISCOUNT)

    values, clv_s = _best(value)
    named = bg.parameters.named
    apart = (
        max((abs(theirs["bgnbd"][key] / named[key] - 1.0) for key in named), default=0.0) if theirs else None
    )
    totals = abs(theirs["clv_total"] / float(values.sum()) - 1.0) if theirs else None
    count = f"{customers:,}"
    return [
        Timing(f"BG/NBD fit, {count} customers", bg_s, theirs.get("bgnbd_s"), 0.2, apart),
        Timing(f"BG/NBD fit, {10 * customers:,} customers", million_s, None, 1.5),
        Timing(f"MBG/NBD fit, {count} customers", mbg_s, theirs.get("mbgnbd_s"), 0.3),
        Timing("Pareto/NBD fit, CDNOW (2,357 customers)", small_s, theirs.get("paretonbd_s"), 0.25),
        Timing(f"Pareto/NBD fit, {count} customers", pareto_s, None, 4.0),
        Timing(f"lifetime value, {count} customers, 12 months", clv_s, theirs.get("clv_s"), 0.2, totals),
    ]


def _best(call: Callable[[], Any]) -> tuple[Any, float]:
    """The answer, and the CPU seconds of the quickest of three calls."""
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        answer = call()
        times.append(time.process_time() - started)
    return answer, min(times)


def _reference(python: Path, small: tuple[FloatArray, ...], large: tuple[FloatArray, ...]) -> dict[str, Any]:
    """What lifetimes finds on the same arrays, and its CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "histories.npz"
        np.savez(source, small=np.stack(small), large=np.stack(large))
        script = Path(__file__).with_name("lifetimes_reference.py")
        done = subprocess.run(  # noqa: S603 the environment is the Makefile's own
            [str(python), "-W", "ignore", str(script), str(source), str(REPEATS)],
            capture_output=True,
            check=True,
            text=True,
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> int:
    """Print the table; 1 with ``--strict`` when a goal is missed."""
    made = argparse.ArgumentParser(prog="bench-btyd", description=__doc__)
    made.add_argument("--customers", type=int, default=100_000, help="customers of the large rows")
    made.add_argument("--seed", type=int, default=0, help="seed of the customers")
    made.add_argument("--reference", type=Path, help="python of an environment that has lifetimes")
    made.add_argument("--json", type=Path, help="also write the figures to this file")
    made.add_argument("--strict", action="store_true", help="exit with 1 when a goal is missed")
    asked = made.parse_args()
    rows = measure(asked.customers, asked.seed, asked.reference)
    table = [
        [row.what, f"{row.ours_s:.3f}", _told(row.reference_s, ".3f"), _told(row.factor, ".1f"),
         f"{row.goal_s:g}", _told(row.difference, ".1e")]
        for row in rows
    ]  # fmt: skip
    headings = ["CPU s, best of 3", "ours", "lifetimes", "times faster", "goal", "difference"]
    sys.stdout.write(shown(headings, table) + "\n")
    slow = [row.what for row in rows if row.ours_s > row.goal_s]
    first = rows[0].factor
    if first is not None:
        verdict = "reached" if first >= FASTER else "MISSED"
        sys.stdout.write(f"BG/NBD fit at least {FASTER:g} times faster than lifetimes: {verdict}\n")
        slow += [] if first >= FASTER else ["factor"]
    write_json(asked.json, {"rows": [{**asdict(row), "factor": row.factor} for row in rows]})
    return GATE_MISSED if slow and asked.strict else DONE


def _told(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


if __name__ == "__main__":
    sys.exit(run(main))
