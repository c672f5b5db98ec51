"""Lanes and dead letters of the outbox, and mail that waits to be sent."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0009_outbox"
down_revision = "0008_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the table of mails, then change the outbox."""
    run_script(_MAILS)


_MAILS = """
CREATE TABLE mails (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  id uuid NOT NULL,
  template text NOT NULL CHECK (template ~ '^[a-z][a-z0-9_]{0,62}$'),
  locale text NOT NULL DEFAULT 'en',
  state text NOT NULL DEFAULT 'QUEUED' CHECK (state IN ('QUEUED', 'SENT', 'FAILED')),
  -- Recipient and values, which may hold one-time tokens; gone once the mail is.
  sealed bytea,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  CHECK ((state = 'SENT') <= (sealed IS NULL)),
  CHECK ((state = 'QUEUED') = (ended_at IS NULL))
);
CREATE INDEX mails_by_time ON mails (created_at);
SELECT app.protect('mails');
SELECT app.allow_definer('mails', 'SELECT, DELETE');
SELECT app.allow_resealing('mails', 'sealed');

CREATE FUNCTION app.mails_purge(p_keep_s integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM public.mails WHERE created_at < clock_timestamp() - make_interval(secs => p_keep_s)
    RETURNING 1)
  SELECT count(*) FROM gone
$$;
SELECT app.define('app.mails_purge(integer)');
"""
