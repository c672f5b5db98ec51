"""Segments that keep their keys from run to run: runs can be cancelled, and know which data they saw."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0024_segmentation"
down_revision = "0023_predictions"
branch_labels = None
depends_on = None

_RUNS = """
ALTER TABLE segmentation_runs DROP CONSTRAINT segmentation_runs_state_check;
ALTER TABLE segmentation_runs ADD CONSTRAINT segmentation_runs_state_check
  CHECK (state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED'));
ALTER TABLE segmentation_runs DROP CONSTRAINT segmentation_runs_check1;
ALTER TABLE segmentation_runs ADD CONSTRAINT segmentation_runs_ended_check
  CHECK ((state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (ended_at IS NOT NULL));
ALTER TABLE segmentation_runs ADD COLUMN data_revision bigint;
ALTER TABLE segmentation_runs ADD COLUMN restarts integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN segmentation_runs.data_revision IS
  'Revision of the data that the stored chunks were made of; a run never mixes two.';
COMMENT ON COLUMN segmentation_runs.restarts IS 'How often an import came in between and the run began anew.';
ALTER TABLE training_runs ADD COLUMN segments smallint NOT NULL DEFAULT 0
  CHECK (segments = 0 OR segments BETWEEN 2 AND 20);
COMMENT ON COLUMN training_runs.segments IS 'Number of segments that was asked for; 0 for the rule.';
"""


def upgrade() -> None:
    """Widen the states, remember the data."""
    run_script(_RUNS)
