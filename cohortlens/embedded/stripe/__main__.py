"""``python -m cohortlens.embedded.stripe``: the stand-in as a service of the stack."""

from __future__ import annotations

import sys

from cohortlens.embedded.stripe.process import main

if __name__ == "__main__":
    sys.exit(main())
