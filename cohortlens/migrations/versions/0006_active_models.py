"""Let jobs list the active versions of all tenants by digest, to have them loaded ahead of calls."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0006_active_models"
down_revision = "0005_challengers"
branch_labels = None
depends_on = None

_ACTIVE = """
SELECT app.allow_definer('model_aliases', 'SELECT');
SELECT app.allow_definer('model_versions', 'SELECT');

CREATE FUNCTION app.active_models(p_most integer) RETURNS TABLE (model text, artifact_digest text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT v.model, v.artifact_digest
    FROM public.model_aliases a JOIN public.model_versions v USING (tenant_id, model, version)
   WHERE a.alias = 'CHAMPION' ORDER BY a.since DESC LIMIT p_most
$$;
COMMENT ON FUNCTION app.active_models(integer) IS
  'Active versions of all tenants, promoted last first; digests only, without their tenants.';
SELECT app.define('app.active_models(integer)');
"""


def upgrade() -> None:
    """Make the function."""
    run_script(_ACTIVE)
