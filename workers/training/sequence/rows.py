"""Weekly sequences for training rows, each at its own cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cohortlens.contracts.purchase_days import PurchaseDays
from cohortlens.contracts.sequences import CHANNELS, WEEKS, weekly_sequences
from workers.training.datasets import Rows


def with_sequences(rows: Rows, days: PurchaseDays, customers: int) -> Rows:
    """The rows with their sequences.

    Args:
        rows: Rows at any cuts.
        days: Purchase-days the rows were made from; what came or became known after a cut is not looked at.
        customers: Number of customer numbers.
    """
    sequence = np.empty((len(rows), WEEKS, len(CHANNELS)), np.float32)
    for cut in np.unique(rows.cut):
        at_cut = rows.cut == cut
        sequence[at_cut] = weekly_sequences(days, int(cut), customers)[rows.customer[at_cut]]
    return replace(rows, sequence=sequence)
