"""Shared by every test, in both environments: standard library and pytest only."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # so that `tests.fixtures` imports however pytest was started
    sys.path.insert(0, str(ROOT))
