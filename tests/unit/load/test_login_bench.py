"""The test of two samples that the measurement of log-ins rests on, against SciPy 1.x (asymptotic p)."""

import pytest

from load.bench.login import kolmogorov_smirnov_p

BASE = [step / 100 for step in range(500)]


@pytest.mark.parametrize(
    ("other", "p"),
    [(BASE, 1.0), ([x + 0.3 for x in BASE], 0.2800), ([x * 1.02 for x in BASE], 0.9999), ([9.0] * 500, 0.0)],
)
def test_p_is_that_of_scipy(other, p):
    # The small-sample term moves p by less than a hundredth at 500 values.
    assert kolmogorov_smirnov_p(BASE, other) == pytest.approx(p, abs=0.01)
