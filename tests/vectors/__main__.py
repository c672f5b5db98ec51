"""``python -m tests.vectors DIR [--data FOLDER]``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from tests.vectors.formats import FORMATS
from tests.vectors.runner import run


def main(arguments: list[str] | None = None) -> int:
    """Run the vectors below a folder; the exit code says how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.vectors", description=main.__doc__)
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="folder of vector files, searched recursively"
    )
    parser.add_argument("--data", type=Path, help="folder of the data files that vectors name")
    given = parser.parse_args(arguments)
    # Calls that fail as a vector asks are no news.
    logging.disable(logging.CRITICAL)
    return run(given.folder, FORMATS, given.data)


if __name__ == "__main__":
    sys.exit(main())
