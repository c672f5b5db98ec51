"""The formats the runner knows; every area of the product adds its own here."""

from __future__ import annotations

from tests.vectors.cases import Format
from tests.vectors.cohort import COHORT
from tests.vectors.drift import DRIFT

FORMATS: tuple[Format, ...] = (COHORT, DRIFT)
