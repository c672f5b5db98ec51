"""Spares a process the import of pandas until somebody needs it.

Ray Serve imports pandas in every process where it finds it, only to encode frames in HTTP answers that nobody
asks for here: 33 MB and half a second of each start. So it does not find it, and who needs it shows it again.
"""

from __future__ import annotations

import sys


def hide_pandas() -> None:
    """Let imports of pandas fail in this process until ``show_pandas``; one that is imported stays."""
    # None is Python's own mark of a module that cannot be imported.
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]


def show_pandas() -> None:
    """Let pandas be imported again."""
    if sys.modules.get("pandas", sys) is None:
        del sys.modules["pandas"]
