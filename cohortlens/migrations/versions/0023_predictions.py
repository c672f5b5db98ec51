"""Tasks of stored predictions beyond purchases and spend, and what a value rests on and was asked with."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0023_predictions"
down_revision = "0022_sequences"
branch_labels = None
depends_on = None


_PREDICTIONS = """
ALTER TABLE predictions DROP CONSTRAINT predictions_task_check;
ALTER TABLE predictions
  ADD CONSTRAINT predictions_task_check CHECK (task IN ('PURCHASES', 'SPEND', 'CHURN', 'CLV')),
  ADD COLUMN basis text NOT NULL DEFAULT 'BOOSTING'
    CHECK (basis IN ('BLEND', 'BLEND_NO_SEQUENCE', 'BTYD', 'POPULATION_MEAN', 'BOOSTING')),
  ADD COLUMN loss text NOT NULL DEFAULT 'RMSE' CHECK (loss IN ('RMSE', 'MAE')),
  ADD COLUMN annual_discount_ratio double precision CHECK (annual_discount_ratio BETWEEN 0 AND 1),
  ADD CONSTRAINT predictions_discounted CHECK ((task = 'CLV') = (annual_discount_ratio IS NOT NULL));
COMMENT ON COLUMN predictions.features_snapshot IS
  'Little-endian float32 values in schema order; behind them the weekly sequence, where the model read it.';
"""

_BATCHES = """
ALTER TABLE batch_predictions DROP CONSTRAINT batch_predictions_task_check;
ALTER TABLE batch_predictions
  ADD CONSTRAINT batch_predictions_task_check CHECK (task IN ('PURCHASES', 'SPEND', 'CHURN', 'CLV')),
  ADD COLUMN level_ratio double precision NOT NULL DEFAULT 0.8 CHECK (level_ratio > 0 AND level_ratio < 1),
  ADD COLUMN loss text NOT NULL DEFAULT 'RMSE' CHECK (loss IN ('RMSE', 'MAE')),
  ADD COLUMN annual_discount_ratio double precision CHECK (annual_discount_ratio BETWEEN 0 AND 1),
  ADD CONSTRAINT batch_predictions_discounted CHECK ((task = 'CLV') = (annual_discount_ratio IS NOT NULL));
"""


def upgrade() -> None:
    """Add the columns; rows from before are of boosting alone, with the defaults of that time."""
    for script in (_PREDICTIONS, _BATCHES):
        run_script(script)
