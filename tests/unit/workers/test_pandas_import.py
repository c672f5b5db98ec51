"""pandas is out of sight until somebody needs it."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from workers.pandas_import import hide_pandas, show_pandas
hide_pandas()
try:
    import pandas
except ImportError:
    print("hidden")
show_pandas()
import pandas
print(pandas.DataFrame({"a": [1, 2]}).a.sum())
hide_pandas()
import pandas
show_pandas()
print(sys.modules["pandas"] is pandas)
"""


def test_pandas_is_hidden_comes_back_whole_and_is_never_taken_from_who_has_it():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.split() == ["hidden", "3", "True"], done.stderr
