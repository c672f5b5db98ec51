"""Batch predictions: uploaded inputs, batches, and the slices that are committed."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0004_batch_predictions"
down_revision = "0003_analytics"
branch_labels = None
depends_on = None

_INPUTS = """
CREATE TABLE batch_inputs (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  file_name text NOT NULL DEFAULT '' CHECK (char_length(file_name) <= 200),
  file_bytes bigint NOT NULL CHECK (file_bytes > 0),
  file_sha256 text NOT NULL CHECK (file_sha256 ~ '^[0-9a-f]{64}$'),
  rows bigint NOT NULL CHECK (rows > 0),
  slice_rows integer NOT NULL CHECK (slice_rows > 0),
  schema_hash text NOT NULL CHECK (schema_hash ~ '^[0-9a-f]{64}$'),
  created_by uuid,
  created_at timestamptz NOT NULL,
  removed_at timestamptz,
  PRIMARY KEY (tenant_id, id)
);
COMMENT ON COLUMN batch_inputs.removed_at IS 'When its file was removed; no batch can start from it after.';
SELECT app.protect('batch_inputs');
"""

_BATCHES = """
CREATE TABLE batch_predictions (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  request_id text NOT NULL DEFAULT '' CHECK (char_length(request_id) <= 64),
  task text NOT NULL CHECK (task IN ('PURCHASES', 'SPEND')),
  horizon_days integer NOT NULL,
  input_id uuid,
  state text NOT NULL DEFAULT 'PENDING'
    CHECK (state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  model text NOT NULL DEFAULT 'prediction' CHECK (model = 'prediction'),
  model_version integer NOT NULL,
  unit text NOT NULL,
  as_of date,
  rows bigint NOT NULL DEFAULT 0,
  rows_done bigint NOT NULL DEFAULT 0 CHECK (rows_done <= rows),
  rows_skipped bigint NOT NULL DEFAULT 0 CHECK (rows_skipped <= rows_done),
  result_sha256 text NOT NULL DEFAULT '' CHECK (result_sha256 ~ '^([0-9a-f]{64})?$'),
  result_bytes bigint NOT NULL DEFAULT 0,
  error_reason text NOT NULL DEFAULT '',
  error_message text NOT NULL DEFAULT '',
  created_by uuid,
  created_at timestamptz NOT NULL,
  ended_at timestamptz,
  removed_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, input_id) REFERENCES batch_inputs (tenant_id, id),
  FOREIGN KEY (tenant_id, model, model_version) REFERENCES model_versions (tenant_id, model, version),
  CHECK ((state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (ended_at IS NOT NULL)),
  CHECK (state <> 'SUCCEEDED' OR (rows_done = rows AND result_sha256 <> ''))
);
CREATE UNIQUE INDEX batch_predictions_by_request ON batch_predictions (tenant_id, request_id)
  WHERE request_id <> '';
COMMENT ON COLUMN batch_predictions.input_id IS 'The uploaded input; null for all customers of the tenant.';
COMMENT ON COLUMN batch_predictions.removed_at IS 'When its files were removed; stored predictions stay.';
SELECT app.protect('batch_predictions');

CREATE TABLE batch_slices (
  tenant_id uuid NOT NULL,
  batch_id uuid NOT NULL,
  slice integer NOT NULL CHECK (slice >= 0),
  rows integer NOT NULL CHECK (rows > 0),
  skipped integer[] NOT NULL DEFAULT '{}',
  done_at timestamptz,
  PRIMARY KEY (tenant_id, batch_id, slice),
  FOREIGN KEY (tenant_id, batch_id) REFERENCES batch_predictions (tenant_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE batch_slices IS 'Row groups of a batch; done_at is set with the predictions of the slice.';
COMMENT ON COLUMN batch_slices.skipped IS 'Rows, from 0 in the slice, of customers deleted after the freeze.';
SELECT app.protect('batch_slices');
"""


def upgrade() -> None:
    """Make the tables."""
    for script in (_INPUTS, _BATCHES):
        run_script(script)
