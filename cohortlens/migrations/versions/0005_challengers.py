"""Challengers: a second alias of a model, what it answered in the shadow, and how that compares."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0005_challengers"
down_revision = "0004_batch_predictions"
branch_labels = None
depends_on = None

_ALIASES = """
ALTER TABLE model_aliases
  ADD COLUMN share_ratio double precision CHECK (share_ratio > 0 AND share_ratio <= 1),
  DROP CONSTRAINT model_aliases_alias_check,
  ADD CONSTRAINT model_aliases_alias_check CHECK (alias IN ('CHAMPION', 'CHALLENGER')),
  ADD CONSTRAINT model_aliases_share CHECK ((alias = 'CHALLENGER') = (share_ratio IS NOT NULL));
COMMENT ON COLUMN model_aliases.share_ratio IS 'Share of calls that a challenger sees; null for a champion.';

ALTER TABLE model_alias_history
  ADD COLUMN share_ratio double precision CHECK (share_ratio > 0 AND share_ratio <= 1),
  DROP CONSTRAINT model_alias_history_alias_check,
  ADD CONSTRAINT model_alias_history_alias_check CHECK (alias IN ('CHAMPION', 'CHALLENGER')),
  DROP CONSTRAINT model_alias_history_action_check,
  ADD CONSTRAINT model_alias_history_action_check CHECK (
    (alias = 'CHAMPION' AND action IN ('PROMOTED', 'ROLLED_BACK'))
    OR (alias = 'CHALLENGER' AND action = 'CHALLENGED' AND share_ratio IS NOT NULL));
"""

_SHADOW = """
CREATE TABLE shadow_predictions (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  created_at timestamptz NOT NULL,
  id uuid NOT NULL,
  customer_id uuid NOT NULL,
  task text NOT NULL CHECK (task IN ('PURCHASES', 'SPEND')),
  horizon_days integer NOT NULL,
  champion_version integer NOT NULL,
  champion_value double precision NOT NULL,
  champion_lower double precision NOT NULL,
  champion_upper double precision NOT NULL,
  challenger_version integer NOT NULL,
  challenger_value double precision NOT NULL,
  PRIMARY KEY (tenant_id, created_at, id),
  FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id) ON DELETE CASCADE
) PARTITION BY RANGE (created_at);
CREATE INDEX shadow_predictions_by_customer ON shadow_predictions (tenant_id, customer_id);
CREATE INDEX shadow_predictions_by_time ON shadow_predictions USING brin (created_at);
COMMENT ON TABLE shadow_predictions IS
  'What a challenger answered for customers; never shown as a prediction.';
SELECT app.protect('shadow_predictions');
SELECT app.ensure_partitions('shadow_predictions', 3);

CREATE TABLE shadow_totals (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  model text NOT NULL DEFAULT 'prediction' CHECK (model = 'prediction'),
  champion_version integer NOT NULL,
  challenger_version integer NOT NULL,
  task text NOT NULL CHECK (task IN ('PURCHASES', 'SPEND')),
  horizon_days integer NOT NULL,
  rows bigint NOT NULL CHECK (rows > 0),
  champion_mean double precision NOT NULL,
  challenger_mean double precision NOT NULL,
  champion_squares double precision NOT NULL,
  challenger_squares double precision NOT NULL,
  products double precision NOT NULL,
  absolute_difference double precision NOT NULL,
  outside bigint NOT NULL CHECK (outside <= rows),
  timed_calls bigint NOT NULL,
  champion_ms double precision NOT NULL,
  challenger_ms double precision NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, model, champion_version, challenger_version, task, horizon_days),
  FOREIGN KEY (tenant_id, model, champion_version) REFERENCES model_versions (tenant_id, model, version),
  FOREIGN KEY (tenant_id, model, challenger_version) REFERENCES model_versions (tenant_id, model, version)
);
COMMENT ON COLUMN shadow_totals.champion_squares IS 'Sum of squared distances from the mean.';
COMMENT ON COLUMN shadow_totals.absolute_difference IS 'Sum over the rows.';
COMMENT ON COLUMN shadow_totals.champion_ms IS 'Sum over timed_calls, as challenger_ms.';
SELECT app.protect('shadow_totals');
"""


def upgrade() -> None:
    """Let an alias be a challenger; make the tables of the shadow."""
    for script in (_ALIASES, _SHADOW):
        run_script(script)
