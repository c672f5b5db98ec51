"""The backtest of a version: the blob ``backtest.json`` of its manifest, written by training.

Numbers that are not defined are None: a correlation with a constant, the error of a member that was dropped.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from cohortlens.contracts.artifacts import ArtifactCorrupt

BACKTEST_FILE = "backtest.json"
"""Name of the blob in the manifest's ``files``."""

FORMAT = 1
OK = "OK"
DROPPED = "DROPPED"
KINDS = ("default", "member", "naive", "champion")


@dataclass(frozen=True)
class BacktestFold:
    """One period that was predicted from what was known before it.

    Attributes:
        cut_day: Last day that was known, YYYY-MM-DD.
        horizon_days: Days predicted.
        customers: Customers judged.
    """

    cut_day: str
    horizon_days: int
    customers: int


@dataclass(frozen=True)
class BacktestRow:
    """How one row of the line-up did, in one fold or over all of them.

    Attributes:
        model: Member, ``default`` for the blend that serves, ``champion`` for what it was held against.
        kind: One of ``KINDS``.
        target: ``purchases``, ``spend`` or ``churn``.
        fold: Position in the folds; None for all of them together.
        mae: Mean absolute error, in the unit of the target.
        rmse: Root of the mean squared error, in the unit of the target.
        correlation: Pearson's, -1 to 1.
        lift10: Actual total of the tenth predicted highest over a tenth of the actual total.
        gini: Normalised Gini coefficient, at most 1.
        bias_ratio: Predicted over actual total, less 1.
        auc: Area under the curve of buying at all, 0 to 1.
        coverage80: Share of the actual values inside the 80 % interval.
        fit_cpu_s: CPU seconds of fitting it.
        status: ``OK`` or ``DROPPED``.
        reason: Why it was dropped.
    """

    model: str
    kind: str
    target: str
    fold: int | None = None
    mae: float | None = None
    rmse: float | None = None
    correlation: float | None = None
    lift10: float | None = None
    gini: float | None = None
    bias_ratio: float | None = None
    auc: float | None = None
    coverage80: float | None = None
    fit_cpu_s: float | None = None
    status: str = OK
    reason: str = ""


@dataclass(frozen=True)
class BacktestChoice:
    """What serves for one target.

    Attributes:
        target: ``purchases``, ``spend`` or ``churn``.
        weights: Weight of each member; they add up to 1.
        beaten_by: Naive prediction with a smaller loss; empty when none has.
    """

    target: str
    weights: dict[str, float]
    beaten_by: str = ""


@dataclass(frozen=True)
class Backtest:
    """How a version and what it was made of predicted past periods that they had not seen.

    Attributes:
        folds: Periods, latest first.
        rows: All folds together first, then by fold.
        choices: One per target.
    """

    folds: tuple[BacktestFold, ...] = ()
    rows: tuple[BacktestRow, ...] = ()
    choices: tuple[BacktestChoice, ...] = field(default=())

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no blanks, no NaN.

        Raises:
            ValueError: A number is not finite.
        """
        document = {"format": FORMAT, **asdict(self)}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)

    @staticmethod
    def from_json(text: str | bytes) -> Backtest:
        """Read a backtest.

        Raises:
            ArtifactCorrupt: Not a backtest of this format.
        """
        try:
            document: dict[str, Any] = json.loads(text)
            if document["format"] != FORMAT:
                raise ArtifactCorrupt("The backtest has a format that this release cannot read; train again.")
            return Backtest(
                folds=tuple(BacktestFold(**one) for one in document["folds"]),
                rows=tuple(BacktestRow(**one) for one in document["rows"]),
                choices=tuple(BacktestChoice(**one) for one in document["choices"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactCorrupt(
                "The backtest is not readable; restore the artifact or train again."
            ) from error
