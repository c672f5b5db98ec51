"""Which version was live when, why a training began and what became of it."""

from __future__ import annotations

from cohortlens.migrations.ddl import only_jobs, run_script

revision = "0026_registry"
down_revision = "0025_drift"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let runs tell cause and outcome, versions retire, history tell of force; show jobs what is due."""
    for script in (_RUNS, _VERSIONS, _HISTORY, _DUE, _FILES):
        run_script(script)
    only_jobs(
        "app.trainings_due(timestamptz, uuid, integer)",
        "app.challengers_due(timestamptz, integer)",
        "app.tenants_with_versions(integer, uuid, integer)",
        "app.artifacts_unused(text[])",
    )


_RUNS = """
ALTER TABLE training_runs
  ADD COLUMN drift_report uuid,
  ADD COLUMN data_revision bigint,
  ADD COLUMN purchase_days bigint CHECK (purchase_days >= 0),
  ADD COLUMN champion_version integer,
  ADD COLUMN champion_digest text CHECK (champion_digest ~ '^[0-9a-f]{64}$'),
  ADD COLUMN wanted_as_of date,
  ADD COLUMN started_at timestamptz,
  ADD COLUMN outcome text CHECK (outcome IN ('PROMOTED', 'CHALLENGER', 'REJECTED', 'KEPT')),
  DROP CONSTRAINT training_runs_cause_check,
  ADD CONSTRAINT training_runs_cause_check
    CHECK (cause IN ('REQUESTED', 'FIRST_IMPORT', 'GROWTH', 'DRIFT', 'SCHEDULE')),
  DROP CONSTRAINT training_runs_state_check,
  ADD CONSTRAINT training_runs_state_check
    CHECK (state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  DROP CONSTRAINT training_runs_check,
  ADD CONSTRAINT training_runs_ended
    CHECK ((state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (ended_at IS NOT NULL)),
  ADD CONSTRAINT training_runs_drift CHECK (drift_report IS NULL OR cause = 'DRIFT');
COMMENT ON COLUMN training_runs.purchase_days IS 'Rows of the snapshot; empty for runs of earlier releases.';
COMMENT ON COLUMN training_runs.champion_digest IS 'The version that the new one is held against.';
COMMENT ON COLUMN training_runs.wanted_as_of IS 'Last day of data that was asked for; all when empty.';
COMMENT ON COLUMN training_runs.started_at IS 'When the first attempt began: the time limit runs from here.';
CREATE INDEX training_runs_last ON training_runs (tenant_id, model, created_at DESC);
"""

_VERSIONS = """
ALTER TABLE model_versions
  DROP CONSTRAINT model_versions_state_check,
  ADD CONSTRAINT model_versions_state_check CHECK (state IN ('READY', 'REJECTED', 'RETIRED'));
"""

# The exclusion constraint of 0003 already forbids that times of one alias overlap.
_HISTORY = """
ALTER TABLE model_alias_history ADD COLUMN forced boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN model_alias_history.forced IS 'Whether it was promoted although it had failed its gate.';
CREATE INDEX model_alias_history_latest ON model_alias_history (tenant_id, model, id DESC);
"""

_DUE = """
SELECT app.allow_definer('model_alias_history', 'SELECT');

CREATE FUNCTION app.trainings_due(p_before timestamptz, p_after uuid, p_limit integer)
RETURNS TABLE (tenant_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT DISTINCT a.tenant_id FROM public.model_aliases a
    JOIN public.tenants t ON t.id = a.tenant_id AND t.status = 'ACTIVE'
   WHERE a.alias = 'CHAMPION' AND a.tenant_id > p_after AND NOT EXISTS (
     SELECT FROM public.training_runs r
      WHERE r.tenant_id = a.tenant_id AND r.model = a.model AND r.created_at > p_before)
   ORDER BY 1 LIMIT p_limit
$$;
COMMENT ON FUNCTION app.trainings_due(timestamptz, uuid, integer) IS
  'Tenants behind p_after with an active version whose last training began before p_before.';

CREATE FUNCTION app.challengers_due(p_before timestamptz, p_limit integer)
RETURNS TABLE (tenant_id uuid, model text, version integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT c.tenant_id, c.model, c.version FROM public.model_aliases c
    JOIN public.tenants t ON t.id = c.tenant_id AND t.status = 'ACTIVE'
    JOIN public.model_aliases champion ON champion.tenant_id = c.tenant_id AND champion.model = c.model
     AND champion.alias = 'CHAMPION' AND champion.since <= c.since
    JOIN public.model_alias_history h ON h.tenant_id = c.tenant_id AND h.model = c.model
     AND h.alias = 'CHALLENGER' AND upper_inf(h.live) AND h.actor IS NULL
   WHERE c.alias = 'CHALLENGER' AND c.since <= p_before ORDER BY c.since LIMIT p_limit
$$;
COMMENT ON FUNCTION app.challengers_due(timestamptz, integer) IS
  'Challengers that the service itself set by p_before, and that the active version has not outlived since.';

CREATE FUNCTION app.tenants_with_versions(p_more_than integer, p_after uuid, p_limit integer)
RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT tenant_id FROM public.model_versions
   WHERE state <> 'RETIRED' AND tenant_id > p_after
   GROUP BY tenant_id HAVING count(*) > p_more_than ORDER BY tenant_id LIMIT p_limit
$$;
COMMENT ON FUNCTION app.tenants_with_versions(integer, uuid, integer) IS
  'Tenants behind p_after that keep the files of more than p_more_than versions.';
"""

# What a version consists of stands in its manifest, so a blob that nobody needs is found without reading any.
_FILES = """
CREATE OR REPLACE FUNCTION app.artifact_digests()
RETURNS TABLE (digest text, is_manifest boolean, own boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH runs AS (
    SELECT r.artifact_digest, r.snapshot_digest, r.tenant_id = app.tid() AS own FROM public.training_runs r
     WHERE NOT EXISTS (
       SELECT FROM public.model_versions v
        WHERE v.tenant_id = r.tenant_id AND v.training_run_id = r.id AND v.state = 'RETIRED'))
  SELECT v.artifact_digest, true, v.tenant_id = app.tid() FROM public.model_versions v
   WHERE v.state <> 'RETIRED'
  UNION SELECT artifact_digest, true, own FROM runs WHERE artifact_digest IS NOT NULL
  UNION SELECT snapshot_digest, false, own FROM runs WHERE snapshot_digest IS NOT NULL
$$;

CREATE FUNCTION app.artifacts_unused(p_digests text[]) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT unnest(p_digests)
  EXCEPT SELECT d.digest FROM app.artifact_digests() d
  EXCEPT SELECT v.data_sha256 FROM public.model_versions v WHERE v.state <> 'RETIRED'
  EXCEPT SELECT f.value FROM public.model_versions v, jsonb_each_text(v.manifest -> 'files') f
   WHERE v.state <> 'RETIRED'
$$;
COMMENT ON FUNCTION app.artifacts_unused(text[]) IS
  'Those of the blobs that no version with files and no training run of any tenant needs.';
"""
