"""Runs in the environment of ``bench-lifetimes.lock`` alone: the same fits by lifetimes, as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

MONTHS, STEP_DAYS, DISCOUNT = 12, 30, 0.10
MONEY = (6.25, 3.744, 15.444)
BOUGHT = 35.0


def main() -> None:
    """Read two tables of histories, fit, value, print."""
    # Only the environment this runs in has them; the module itself can be imported in the workers' own.
    import pandas as pd  # noqa: PLC0415
    from lifetimes import BetaGeoFitter, ModifiedBetaGeoFitter, ParetoNBDFitter  # noqa: PLC0415
    from lifetimes.utils import _customer_lifetime_value  # noqa: PLC0415

    with np.load(sys.argv[1]) as archive:
        small, large = archive["small"], archive["large"]
    repeats = int(sys.argv[2])
    bg, bg_s = _best(lambda: BetaGeoFitter().fit(*large), repeats)
    _, mbg_s = _best(lambda: ModifiedBetaGeoFitter().fit(*large), repeats)
    _, pareto_s = _best(lambda: ParetoNBDFitter().fit(*small), repeats)
    x, t_x, age = (pd.Series(column) for column in large)
    p, q, gamma = MONEY
    value = p * (gamma + x * BOUGHT) / (p * x + q - 1.0)
    monthly = (1.0 + DISCOUNT) ** (STEP_DAYS / 365.0) - 1.0
    values, clv_s = _best(
        lambda: _customer_lifetime_value(bg, x, t_x, age, value, MONTHS, monthly, freq="D"), 1
    )
    found = {
        "bgnbd": {name: float(number) for name, number in bg.params_.items()},
        "bgnbd_s": bg_s,
        "mbgnbd_s": mbg_s,
        "paretonbd_s": pareto_s,
        "clv_s": clv_s,
        "clv_total": float(values.sum()),
    }
    sys.stdout.write(json.dumps(found))


def _best(call: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """The answer, and the CPU seconds of the quickest of some calls."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        answer = call()
        times.append(time.process_time() - started)
    return answer, min(times)


if __name__ == "__main__":
    main()
