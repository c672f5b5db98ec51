"""``make clv-published``: results of the literature, found again from the raw rows.

The CDNOW sample and the tables of two papers are published with what the models must give on them; each line
states the published figure, ours, and how far apart they may be.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts import sbg
from workers.bench.asked import DONE, GATE_MISSED, run, shown, write_json
from workers.bench.histories import History, history_at
from workers.bench.transactions import day_of, read_transactions
from workers.runtime.btyd import BtydParameters, expected_purchases
from workers.training.btyd.fitting import Fit, fit
from workers.training.btyd.money import fit_gamma_gamma

FloatArray = NDArray[np.float64]

CDNOW = Path(__file__).resolve().parents[2] / "cohortlens" / "data" / "cdnow_sample.csv.gz"
CUT, WEEK_DAYS, HOLDOUT_WEEKS = "1997-09-30", 7.0, 39

SUMMARY_SHA256 = "ca638262ef7d2cd56a285c13e975549488a04282914c76518882afd0e2a1b210"
"""Of the published summary: ``x,t_x,T`` in weeks with two decimals, customers ascending, joined by ``;``."""

HIGH_END = (1000, 869, 743, 653, 593, 551, 517, 491)
REGULAR = (1000, 631, 468, 382, 326, 289, 262, 241)
"""Customers of 1,000 who stayed 0..7 years. Source: Fader, Hardie, J. Interactive Marketing 21(1) 2007."""


@dataclass(frozen=True)
class Check:
    """One published figure.

    Attributes:
        name: What it is.
        expected: As published.
        found: Ours.
        tolerance: Largest difference allowed.
    """

    name: str
    expected: float
    found: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether both agree."""
        return abs(self.found - self.expected) <= self.tolerance


def checks(path: Path = CDNOW) -> list[Check]:
    """Every published figure beside ours.

    Args:
        path: The CDNOW sample.
    """
    history = history_at(read_transactions(path).days, day_of(CUT), int(HOLDOUT_WEEKS * WEEK_DAYS))
    return [*_summary(history), *_purchases(history), *_tracking(history), *_money(history), *_stayers()]


def _summary(history: History) -> list[Check]:
    rows = zip(history.x, history.t_x / WEEK_DAYS, history.age / WEEK_DAYS, strict=True)
    text = ";".join(f"{x:.0f},{t_x:.2f},{age:.2f}" for x, t_x, age in rows)
    equal = hashlib.sha256(text.encode()).hexdigest() == SUMMARY_SHA256
    return [
        Check("CDNOW customers", 2357, len(history.x), 0),
        Check("CDNOW summary equals the published file (1 = yes)", 1, float(equal), 0),
    ]


def _purchases(history: History) -> list[Check]:
    bg, pareto = (_fit(family, history) for family in ("bgnbd", "paretonbd"))
    found = [
        *_parameters("BG/NBD", bg, {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}, 1e-3),
        Check("BG/NBD log-likelihood", -9582.43, _weekly(bg, history), 0.01),
        *_parameters("Pareto/NBD", pareto, {"r": 0.5533, "alpha": 10.578, "s": 0.6062, "beta": 11.669}, 1e-3),
        Check("Pareto/NBD log-likelihood", -9594.98, _weekly(pareto, history), 0.01),
    ]
    for name, made, corr, total in (("BG/NBD", bg, 0.6256, 1653.4), ("Pareto/NBD", pareto, 0.6302, 1665.5)):
        expected = _ahead(made.parameters, history)
        together = float(np.corrcoef(expected, history.bought)[0, 1])
        found.append(Check(f"{name} correlation with 39 weeks held out", corr, together, 5e-5))
        found.append(Check(f"{name} purchases expected in 39 weeks", total, float(expected.sum()), 0.05))
    found.append(Check("purchases in these 39 weeks", 1882, float(history.bought.sum()), 0))
    return found + _by_frequency(bg, history)


def _parameters(name: str, made: Fit, published: dict[str, float], relative: float) -> list[Check]:
    """Parameters in weeks, as published."""
    weeks = {
        key: value / WEEK_DAYS if key in {"alpha", "beta"} else value
        for key, value in made.parameters.named.items()
    }
    return [Check(f"{name} {key}", value, weeks[key], relative * value) for key, value in published.items()]


def _by_frequency(bg: Fit, history: History) -> list[Check]:
    expected = _ahead(bg.parameters, history)
    published = (0.225, 0.523, 1.044, 1.520, 2.164, 2.654, 3.504, 6.157)
    group = np.minimum(history.x, 7)
    return [
        Check(
            f"BG/NBD mean expected of x = {x}{'+' if x == 7 else ''}",
            value,
            float(expected[group == x].mean()),
            5e-4,
        )
        for x, value in enumerate(published)
    ]


def _tracking(history: History) -> list[Check]:
    """Cumulative repeat purchases by week of the calendar; a customer joins as its first day begins."""
    bg = _fit("bgnbd", history).parameters
    start = int(day_of(CUT) - history.age.max())
    weeks = np.arange(1, 2 * HOLDOUT_WEEKS + 1)
    ends = start + weeks * WEEK_DAYS
    first = day_of(CUT) - history.age
    days, customers = np.unique(first, return_counts=True)
    exposure = np.clip(ends[:, None] - days[None, :], 0.0, None)
    curve = expected_purchases(bg, 0.0, 0.0, 0.0, exposure.ravel()).reshape(exposure.shape) @ customers
    actual = np.searchsorted(history.repeat_days, ends, side="left").astype(np.float64)
    error = np.abs(curve / np.maximum(actual, 1.0) - 1.0)
    return [
        Check("BG/NBD repeat purchases expected by week 78", 4165.7, float(curve[-1]), 0.05),
        Check("repeat purchases by week 78", 4339, float(actual[-1]), 0),
        Check("BG/NBD tracking error, weeks 5-39, %", 5.99, 100 * float(error[4:39].mean()), 0.01),
        Check("BG/NBD tracking error, weeks 40-78, %", 2.52, 100 * float(error[39:].mean()), 0.01),
    ]


def _money(history: History) -> list[Check]:
    made = fit_gamma_gamma(history.x, history.zbar)
    return [
        Check("Gamma-Gamma repeat buyers", 946, made.customers, 0),
        Check("Gamma-Gamma p", 6.250, made.parameters.p, 1e-3),
        Check("Gamma-Gamma q", 3.744, made.parameters.q, 1e-3),
        Check("Gamma-Gamma gamma", 15.444, made.parameters.gamma, 1e-3),
        Check("Gamma-Gamma population mean", 35.17, made.parameters.mean, 5e-3),
        Check("correlation of x and zbar", 0.114, made.correlation, 5e-4),
    ]


def _stayers() -> list[Check]:
    published = {
        "High End": (HIGH_END, 0.668, 3.806, (46.0, 43.6, 41.4, 39.5, 37.8)),
        "Regular": (REGULAR, 0.704, 1.182, (22.0, 20.4, 19.1, 18.0, 17.0)),
    }
    found = []
    for name, (survivors, alpha, beta, later) in published.items():
        made = sbg.fit(*sbg.counts_of(survivors))
        curve = 100.0 * sbg.survival(made.alpha, made.beta, 12)
        found += [
            Check(f"sBG {name} alpha", alpha, made.alpha, 5e-4),
            Check(f"sBG {name} beta", beta, made.beta, 5e-4),
        ]
        found += [
            Check(f"sBG {name} % left after year {year}", value, float(curve[year]), 0.05)
            for year, value in enumerate(later, start=8)
        ]
    return found


def _fit(family: str, history: History) -> Fit:
    return fit(family, history.x, history.t_x, history.age)


def _weekly(made: Fit, history: History) -> float:
    """The log-likelihood with times in weeks: one density per repeat purchase."""
    return made.log_likelihood + float(history.x.sum()) * float(np.log(WEEK_DAYS))


def _ahead(parameters: BtydParameters, history: History) -> FloatArray:
    return expected_purchases(parameters, history.x, history.t_x, history.age, HOLDOUT_WEEKS * WEEK_DAYS)


def main() -> int:
    """Print every figure; 1 when one differs."""
    made = argparse.ArgumentParser(prog="clv-published", description=__doc__)
    made.add_argument("--data", type=Path, default=CDNOW, help="the CDNOW sample")
    made.add_argument("--json", type=Path, help="also write the figures to this file")
    asked = made.parse_args()
    found = checks(asked.data)
    rows = [
        [
            check.name,
            f"{check.expected:g}",
            f"{check.found:.6g}",
            f"{check.tolerance:.2g}",
            "ok" if check.passed else "DIFFERS",
        ]
        for check in found
    ]
    sys.stdout.write(shown(["result", "published", "found", "tolerance", ""], rows) + "\n")
    missed = sum(not check.passed for check in found)
    sys.stdout.write(f"{len(found) - missed} reproduced, {missed} differ\n")
    write_json(asked.json, {"checks": [{**asdict(check), "passed": check.passed} for check in found]})
    return GATE_MISSED if missed else DONE


if __name__ == "__main__":
    sys.exit(run(main))
