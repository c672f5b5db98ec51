"""Drift reports and their columns; the baselines themselves lie with the model versions' files."""

from __future__ import annotations

from cohortlens.migrations.ddl import only_jobs, run_script

revision = "0025_drift"
down_revision = "0024_segmentation"
branch_labels = None
depends_on = None

_REPORTS = """
CREATE TABLE drift_reports (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED')),
  progress_ratio double precision NOT NULL DEFAULT 0 CHECK (progress_ratio BETWEEN 0 AND 1),
  cause text NOT NULL CHECK (cause IN ('REQUESTED', 'SCHEDULE', 'IMPORT')),
  model text NOT NULL CHECK (model IN ('segmentation', 'prediction')),
  model_version integer NOT NULL,
  convention text NOT NULL CHECK (convention IN ('COHORTLENS', 'EVIDENTLY')),
  wanted_reference_as_of date,
  wanted_as_of date,
  reference_as_of date,
  as_of date,
  rows_reference bigint NOT NULL DEFAULT 0,
  rows_current bigint NOT NULL DEFAULT 0,
  verdict text NOT NULL DEFAULT 'UNKNOWN'
    CHECK (verdict IN ('UNKNOWN', 'STABLE', 'CHANGED', 'WATCH', 'ACT')),
  performance jsonb NOT NULL DEFAULT '[]',
  error_reason text NOT NULL DEFAULT '',
  error_message text NOT NULL DEFAULT '',
  created_by uuid,
  created_at timestamptz NOT NULL,
  ended_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, model, model_version) REFERENCES model_versions (tenant_id, model, version),
  CHECK ((state IN ('SUCCEEDED', 'FAILED')) = (ended_at IS NOT NULL)),
  CHECK (verdict = 'UNKNOWN' OR state = 'SUCCEEDED')
);
COMMENT ON COLUMN drift_reports.wanted_reference_as_of IS
  'Day whose customers are the reference; null for the baseline of the version.';
COMMENT ON COLUMN drift_reports.wanted_as_of IS 'Day whose customers are compared; null for the last one.';
CREATE INDEX drift_reports_last ON drift_reports (tenant_id, model, created_at DESC);
SELECT app.protect('drift_reports');

CREATE TABLE drift_columns (
  tenant_id uuid NOT NULL,
  report_id uuid NOT NULL,
  name text NOT NULL,
  place integer NOT NULL,
  kind text NOT NULL CHECK (kind IN ('INPUT', 'PREDICTION', 'SEGMENT', 'MISSING')),
  is_numerical boolean NOT NULL,
  method text NOT NULL,
  rows_reference bigint NOT NULL,
  rows_current bigint NOT NULL,
  statistic double precision,
  p_value double precision CHECK (p_value BETWEEN 0 AND 1),
  p_adjusted double precision CHECK (p_adjusted BETWEEN 0 AND 1),
  p_holm double precision CHECK (p_holm BETWEEN 0 AND 1),
  psi double precision,
  jensen_shannon double precision,
  wasserstein_normed double precision,
  missing_reference_ratio double precision NOT NULL CHECK (missing_reference_ratio BETWEEN 0 AND 1),
  missing_current_ratio double precision NOT NULL CHECK (missing_current_ratio BETWEEN 0 AND 1),
  mean_reference double precision,
  mean_current double precision,
  verdict text NOT NULL CHECK (verdict IN ('UNKNOWN', 'STABLE', 'CHANGED', 'WATCH', 'ACT')),
  reason text NOT NULL DEFAULT '',
  PRIMARY KEY (tenant_id, report_id, name),
  FOREIGN KEY (tenant_id, report_id) REFERENCES drift_reports (tenant_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN drift_columns.place IS 'Order in the report, from 0: the most alarming column first.';
SELECT app.protect('drift_columns');
SELECT app.allow_reading();
"""

_DUE = """
SELECT app.allow_definer('drift_reports', 'SELECT');
SELECT app.allow_definer('drift_columns', 'SELECT');

CREATE FUNCTION app.drift_due(p_before timestamptz, p_after uuid, p_limit integer)
RETURNS TABLE (tenant_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT DISTINCT a.tenant_id FROM public.model_aliases a
    JOIN public.tenants t ON t.id = a.tenant_id AND t.status = 'ACTIVE'
    JOIN public.model_versions v ON v.tenant_id = a.tenant_id AND v.model = a.model AND v.version = a.version
   WHERE a.alias = 'CHAMPION' AND a.tenant_id > p_after AND v.manifest -> 'files' ? 'baseline.npz'
     AND NOT EXISTS (
       SELECT FROM public.drift_reports r
        WHERE r.tenant_id = a.tenant_id AND r.model = a.model AND r.created_at > p_before
          AND r.wanted_reference_as_of IS NULL AND r.wanted_as_of IS NULL)
   ORDER BY 1 LIMIT p_limit
$$;
COMMENT ON FUNCTION app.drift_due(timestamptz, uuid, integer) IS
  'Tenants behind p_after with an active version that has a baseline and no report since p_before.';

CREATE FUNCTION app.drift_figures()
RETURNS TABLE (model text, verdict text, tenants bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT latest.model, latest.verdict, count(*) FROM (
    SELECT DISTINCT ON (r.tenant_id, r.model) r.model, r.verdict FROM public.drift_reports r
      JOIN public.model_aliases a ON a.tenant_id = r.tenant_id AND a.model = r.model
       AND a.alias = 'CHAMPION' AND a.version = r.model_version
     WHERE r.state = 'SUCCEEDED' AND r.wanted_reference_as_of IS NULL AND r.wanted_as_of IS NULL
     ORDER BY r.tenant_id, r.model, r.created_at DESC) latest
   GROUP BY 1, 2
$$;
COMMENT ON FUNCTION app.drift_figures() IS
  'How many tenants have which verdict in the last report of each active version.';

CREATE FUNCTION app.drift_column_figures()
RETURNS TABLE (model text, name text, psi double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT latest.model, c.name, max(c.psi) FROM (
    SELECT DISTINCT ON (r.tenant_id, r.model) r.tenant_id, r.id, r.model FROM public.drift_reports r
      JOIN public.model_aliases a ON a.tenant_id = r.tenant_id AND a.model = r.model
       AND a.alias = 'CHAMPION' AND a.version = r.model_version
     WHERE r.state = 'SUCCEEDED' AND r.wanted_reference_as_of IS NULL AND r.wanted_as_of IS NULL
     ORDER BY r.tenant_id, r.model, r.created_at DESC) latest
    JOIN public.drift_columns c ON c.tenant_id = latest.tenant_id AND c.report_id = latest.id
   WHERE c.psi IS NOT NULL GROUP BY 1, 2
$$;
COMMENT ON FUNCTION app.drift_column_figures() IS
  'Largest index of each column over the last reports of the active versions of all tenants.';

CREATE FUNCTION app.drift_old(p_before timestamptz, p_limit integer)
RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT tenant_id, id FROM public.drift_reports WHERE created_at < p_before ORDER BY created_at LIMIT p_limit
$$;
COMMENT ON FUNCTION app.drift_old(timestamptz, integer) IS 'Reports made before p_before, oldest first.';
"""


def upgrade() -> None:
    """Make the tables, and show jobs what is due, what the last reports say, and what is old."""
    for script in (_REPORTS, _DUE):
        run_script(script)
    only_jobs(
        "app.drift_due(timestamptz, uuid, integer)",
        "app.drift_figures()",
        "app.drift_column_figures()",
        "app.drift_old(timestamptz, integer)",
    )
