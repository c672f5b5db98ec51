"""Model versions and which one is active; training runs; predictions; segmentation runs and segments."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0003_analytics"
down_revision = "0002_customers"
branch_labels = None
depends_on = None

_REGISTRY = """
CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE training_runs (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  model text NOT NULL CHECK (model IN ('segmentation', 'prediction')),
  cause text NOT NULL CHECK (cause IN ('REQUESTED', 'FIRST_IMPORT')),
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED')),
  stage text NOT NULL DEFAULT '',
  progress_ratio double precision NOT NULL DEFAULT 0 CHECK (progress_ratio BETWEEN 0 AND 1),
  seed bigint NOT NULL,
  snapshot_digest text CHECK (snapshot_digest ~ '^[0-9a-f]{64}$'),
  as_of date,
  currency text,
  artifact_digest text CHECK (artifact_digest ~ '^[0-9a-f]{64}$'),
  cpu_s double precision NOT NULL DEFAULT 0,
  version integer,
  error_reason text NOT NULL DEFAULT '',
  error_message text NOT NULL DEFAULT '',
  created_by uuid,
  created_at timestamptz NOT NULL,
  ended_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  CHECK ((state IN ('SUCCEEDED', 'FAILED')) = (ended_at IS NOT NULL))
);
CREATE UNIQUE INDEX training_runs_one_at_a_time ON training_runs (tenant_id, model)
  WHERE state IN ('PENDING', 'RUNNING');
SELECT app.protect('training_runs');

CREATE TABLE model_versions (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  model text NOT NULL CHECK (model IN ('segmentation', 'prediction')),
  version integer NOT NULL CHECK (version >= 1),
  state text NOT NULL CHECK (state IN ('READY', 'REJECTED')),
  artifact_digest text NOT NULL CHECK (artifact_digest ~ '^[0-9a-f]{64}$'),
  schema_hash text NOT NULL CHECK (schema_hash ~ '^[0-9a-f]{64}$'),
  data_sha256 text NOT NULL CHECK (data_sha256 ~ '^[0-9a-f]{64}$'),
  code_version text NOT NULL,
  seed bigint NOT NULL,
  as_of date NOT NULL,
  manifest jsonb NOT NULL,
  training_run_id uuid NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, model, version),
  UNIQUE (tenant_id, training_run_id),
  FOREIGN KEY (tenant_id, training_run_id) REFERENCES training_runs (tenant_id, id)
);
SELECT app.protect('model_versions');

CREATE FUNCTION app.model_versions_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF to_jsonb(new) - 'state' IS DISTINCT FROM to_jsonb(old) - 'state' THEN
    RAISE EXCEPTION 'a model version never changes, except its state' USING ERRCODE = 'check_violation';
  END IF;
  RETURN new;
END $$;
CREATE TRIGGER model_versions_immutable BEFORE UPDATE ON model_versions
  FOR EACH ROW EXECUTE FUNCTION app.model_versions_immutable();

CREATE TABLE model_aliases (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  model text NOT NULL,
  alias text NOT NULL CHECK (alias IN ('CHAMPION')),
  version integer NOT NULL,
  since timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, model, alias),
  FOREIGN KEY (tenant_id, model, version) REFERENCES model_versions (tenant_id, model, version)
);
SELECT app.protect('model_aliases');

CREATE TABLE model_alias_history (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  model text NOT NULL,
  alias text NOT NULL CHECK (alias IN ('CHAMPION')),
  version integer NOT NULL,
  live tstzrange NOT NULL CHECK (NOT isempty(live)),
  action text NOT NULL CHECK (action IN ('PROMOTED', 'ROLLED_BACK')),
  actor uuid,
  reason text NOT NULL DEFAULT '',
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, model, version) REFERENCES model_versions (tenant_id, model, version),
  EXCLUDE USING gist (tenant_id WITH =, model WITH =, alias WITH =, live WITH &&)
);
SELECT app.protect('model_alias_history');
"""

_PREDICTIONS = """
CREATE TABLE predictions (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  created_at timestamptz NOT NULL,
  id uuid NOT NULL,
  customer_id uuid NOT NULL,
  external_id text NOT NULL,
  task text NOT NULL CHECK (task IN ('PURCHASES', 'SPEND')),
  horizon_days integer NOT NULL,
  value double precision NOT NULL,
  lower double precision NOT NULL,
  upper double precision NOT NULL,
  level_ratio double precision NOT NULL,
  unit text NOT NULL,
  model_version integer NOT NULL,
  schema_hash text NOT NULL,
  features_snapshot bytea NOT NULL,
  snapshot_id text NOT NULL,
  as_of date NOT NULL,
  request_id text NOT NULL,
  PRIMARY KEY (tenant_id, created_at, id),
  FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id) ON DELETE CASCADE
) PARTITION BY RANGE (created_at);
CREATE INDEX predictions_by_customer ON predictions (tenant_id, customer_id, task, created_at DESC, id DESC);
CREATE INDEX predictions_by_time ON predictions USING brin (created_at);
SELECT app.protect('predictions');
SELECT app.ensure_partitions('predictions', 3);
"""

_SEGMENTS = """
CREATE TABLE segmentation_runs (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED')),
  model text NOT NULL DEFAULT 'segmentation' CHECK (model = 'segmentation'),
  model_version integer NOT NULL,
  as_of date,
  currency text NOT NULL DEFAULT '',
  customers bigint NOT NULL DEFAULT 0,
  progress_ratio double precision NOT NULL DEFAULT 0 CHECK (progress_ratio BETWEEN 0 AND 1),
  cursor uuid,
  current boolean NOT NULL DEFAULT false,
  error_reason text NOT NULL DEFAULT '',
  error_message text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL,
  published_at timestamptz,
  ended_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, model, model_version) REFERENCES model_versions (tenant_id, model, version),
  CHECK (NOT current OR published_at IS NOT NULL),
  CHECK ((state IN ('SUCCEEDED', 'FAILED')) = (ended_at IS NOT NULL))
);
CREATE UNIQUE INDEX segmentation_runs_current ON segmentation_runs (tenant_id) WHERE current;
SELECT app.protect('segmentation_runs');

CREATE TABLE segment_profiles (
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  segment_key text NOT NULL,
  name text NOT NULL,
  sentence text NOT NULL,
  size bigint NOT NULL,
  share_ratio double precision NOT NULL,
  spend_minor bigint NOT NULL,
  spend_share_ratio double precision NOT NULL,
  median_days_since double precision NOT NULL,
  mean_purchase_days double precision NOT NULL,
  mean_spend_per_day double precision NOT NULL,
  PRIMARY KEY (tenant_id, run_id, segment_key),
  UNIQUE (tenant_id, run_id, name),
  FOREIGN KEY (tenant_id, run_id) REFERENCES segmentation_runs (tenant_id, id) ON DELETE CASCADE
);
SELECT app.protect('segment_profiles');

CREATE TABLE segments (
  tenant_id uuid NOT NULL,
  created_at timestamptz NOT NULL,
  run_id uuid NOT NULL,
  customer_id uuid NOT NULL,
  external_id text NOT NULL,
  segment_key text NOT NULL,
  distance double precision NOT NULL,
  days_since double precision NOT NULL,
  purchase_days integer NOT NULL,
  spend_minor bigint NOT NULL,
  model_version integer NOT NULL,
  features_snapshot bytea NOT NULL,
  snapshot_id text NOT NULL,
  PRIMARY KEY (tenant_id, created_at, run_id, customer_id),
  FOREIGN KEY (tenant_id, run_id) REFERENCES segmentation_runs (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id) ON DELETE CASCADE
) PARTITION BY RANGE (created_at);
CREATE INDEX segments_by_key ON segments (tenant_id, run_id, segment_key, customer_id);
CREATE INDEX segments_by_customer ON segments (tenant_id, customer_id);
SELECT app.protect('segments');
SELECT app.ensure_partitions('segments', 3);
"""


def upgrade() -> None:
    """Make the tables."""
    for script in (_REGISTRY, _PREDICTIONS, _SEGMENTS):
        run_script(script)
