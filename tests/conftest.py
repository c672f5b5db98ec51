"""Shared by every test, in both environments: standard library and pytest only."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # so that `tests.fixtures` imports however pytest was started
    sys.path.insert(0, str(ROOT))


def pytest_runtest_setup() -> None:
    """Give each test the interpreter's own depth: py_ecc, which web3 imports, sets 100,000 for its process.

    At that limit a parser fed with hostile text overflows the stack of C and takes the whole run with it.
    """
    sys.setrecursionlimit(1_000)
