"""Separate the role of durable work from the one that serves requests, and let people look without touching."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0015_roles"
down_revision = "0014_sessions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Hand what only jobs may call to ``cl_jobs``, and tables without secrets to ``cl_ro``."""
    run_script(_ROLES)


_ROLES = """
DO $$ BEGIN
  IF to_regrole('cl_jobs') IS NULL OR to_regrole('cl_ro') IS NULL
     OR NOT pg_has_role('cl_jobs', 'cl_app', 'USAGE') THEN
    RAISE EXCEPTION 'the roles cl_jobs and cl_ro are not as they must be'
      USING HINT = 'As a superuser run: CREATE ROLE cl_jobs LOGIN NOBYPASSRLS PASSWORD ''...''; '
                   'GRANT cl_app TO cl_jobs; CREATE ROLE cl_ro NOLOGIN NOBYPASSRLS;';
  END IF;
END $$;
GRANT USAGE ON SCHEMA app TO cl_ro;
"""
