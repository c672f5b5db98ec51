"""Numeric libraries on one thread, as in a training process: sums are equal and cores are left to others."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    with threadpool_limits(limits=1):
        yield
