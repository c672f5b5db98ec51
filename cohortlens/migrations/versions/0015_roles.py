"""Separate the role of durable work from the one that serves requests; let people look without touching."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0015_roles"
down_revision = "0014_sessions"
branch_labels = None
depends_on = None

_ONLY_JOBS = """
access_changes_purge access_lock access_open_minutes access_sealed active_models
artifact_digests audit_boundaries audit_unsealed auth_programs_tidy ensure_partitions invitations_purge
mails_purge oauth_tidy one_time_purge outbox_claim outbox_discard outbox_extend outbox_fail outbox_list
outbox_purge outbox_repair outbox_retry outbox_settle sealed_columns sealed_counts sealed_key_terms
sealed_page sealed_swap sessions_purge tenant_create tenant_erase tenant_key_destroy tenants_to_erase
tenants_with_retention users_forget
"""


def upgrade() -> None:
    """Hand what only jobs and operators call to ``cl_jobs``, and columns without secrets to ``cl_ro``."""
    run_script(_ROLES)
    run_script(_JOBS.replace("NAMES", " ".join(_ONLY_JOBS.split())))
    run_script(_READING)


_ROLES = """
DO $$ BEGIN
  IF to_regrole('cl_jobs') IS NULL OR to_regrole('cl_ro') IS NULL
     OR NOT pg_has_role('cl_jobs', 'cl_app', 'USAGE') THEN
    RAISE EXCEPTION 'the roles cl_jobs and cl_ro are not as they must be'
      USING HINT = 'As a superuser run: CREATE ROLE cl_jobs LOGIN NOBYPASSRLS PASSWORD ''...''; '
                   'GRANT cl_app TO cl_jobs; CREATE ROLE cl_ro NOLOGIN NOBYPASSRLS;';
  END IF;
END $$;
"""

_JOBS = """
DO $$ DECLARE one record; missing text; BEGIN
  SELECT string_agg(name, ', ') INTO missing FROM unnest(string_to_array('NAMES', ' ')) AS name
   WHERE NOT EXISTS (SELECT FROM pg_proc WHERE proname = name AND pronamespace = 'app'::regnamespace);
  IF missing IS NOT NULL THEN
    RAISE EXCEPTION 'no function of schema app is called %', missing;
  END IF;
  FOR one IN
    SELECT oid::regprocedure AS function, proowner::regrole AS owner FROM pg_proc
     WHERE pronamespace = 'app'::regnamespace AND proname = ANY (string_to_array('NAMES', ' '))
  LOOP
    EXECUTE format('SET LOCAL ROLE %s', one.owner);
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM cl_app', one.function);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO cl_jobs', one.function);
    RESET ROLE;
  END LOOP;
END $$;
"""

_READING = """
CREATE FUNCTION app.allow_reading() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
DECLARE one record; BEGIN
  FOR one IN
    SELECT c.oid::regclass AS target, string_agg(quote_ident(a.attname), ', ') AS columns
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND c.relforcerowsecurity
       AND a.attname !~ '(^sealed|_enc|_wrapped|_bidx|(secret|token|code|jti)_sha256)$'
     GROUP BY c.oid
  LOOP
    EXECUTE format('GRANT SELECT (%s) ON %s TO cl_ro', one.columns, one.target);
  END LOOP;
END $$;
COMMENT ON FUNCTION app.allow_reading() IS
  'Let cl_ro read the tables of tenants, tenant by tenant as everyone, without what is sealed or hashed; '
  'a migration that adds a table of tenants calls it again.';
REVOKE ALL ON FUNCTION app.allow_reading() FROM PUBLIC;
SELECT app.allow_reading();
GRANT USAGE ON SCHEMA app TO cl_ro;
"""
