"""Requests of persons about their data, and what survives an erasure."""

from __future__ import annotations

from cohortlens.migrations.ddl import only_jobs, run_script

revision = "0030_data_requests"
down_revision = "0029_consent_checks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of data requests, suppressions, legal holds and links."""
    for script in (_SUPPRESSIONS, _REQUESTS, _STEPS, _LINKS, _LINK_USE, _TRAINING, _UPKEEP):
        run_script(script)
    only_jobs(
        "app.data_requests_overdue()",
        "app.consent_links_purge(integer)",
        "app.tenants_to_train_after_erasure(uuid, integer)",
    )


_SUPPRESSIONS = """
CREATE TABLE suppressions (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  id uuid NOT NULL,
  ident_bidx bytea NOT NULL CHECK (octet_length(ident_bidx) = 32),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, ident_bidx)
);
COMMENT ON TABLE suppressions IS
  'Whom an import must leave out: persons who were erased. A keyed hash, so nobody is named; it stays.';
SELECT app.protect('suppressions');
REVOKE UPDATE ON suppressions FROM cl_app;

CREATE TABLE legal_holds (
  tenant_id uuid NOT NULL,
  identity_id uuid NOT NULL,
  reason_enc bytea NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, identity_id),
  FOREIGN KEY (tenant_id, identity_id) REFERENCES consent_identities (tenant_id, id)
);
COMMENT ON TABLE legal_holds IS 'Whose data the law forbids to erase now (GDPR article 17(3)).';
SELECT app.protect('legal_holds');
"""

_REQUESTS = """
CREATE TABLE data_requests (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  id uuid NOT NULL,
  identity_id uuid NOT NULL,
  type text NOT NULL CHECK (type IN (
    'ACCESS', 'PORTABILITY', 'ERASURE', 'RECTIFICATION', 'RESTRICTION', 'OBJECTION')),
  is_lifting boolean NOT NULL DEFAULT false,
  channel text NOT NULL CHECK (channel IN ('EMAIL', 'PHONE', 'POST', 'IN_PERSON', 'WEB', 'LINK')),
  state text NOT NULL CHECK (state IN (
    'RECEIVED', 'VERIFIED', 'APPROVED', 'RUNNING', 'COMPLETED', 'REJECTED', 'CANCELLED', 'FAILED')),
  subject_enc bytea,
  notes_enc bytea,
  received_at timestamptz NOT NULL,
  due_at timestamptz NOT NULL,
  extended_at timestamptz,
  export_sha256 text NOT NULL DEFAULT '',
  export_bytes bigint NOT NULL DEFAULT 0,
  export_until timestamptz,
  error_reason text NOT NULL DEFAULT '',
  created_by text NOT NULL,
  decided_by text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, identity_id) REFERENCES consent_identities (tenant_id, id),
  CHECK ((state IN ('COMPLETED', 'REJECTED', 'CANCELLED')) = (ended_at IS NOT NULL)),
  CHECK (NOT is_lifting OR type IN ('RESTRICTION', 'OBJECTION')),
  CHECK (due_at >= received_at)
);
CREATE INDEX data_requests_by_identity ON data_requests (tenant_id, identity_id);
CREATE INDEX data_requests_open ON data_requests (due_at)
  WHERE state NOT IN ('COMPLETED', 'REJECTED', 'CANCELLED');
COMMENT ON TABLE data_requests IS 'What a person asked for about their data, and what became of it.';
COMMENT ON COLUMN data_requests.subject_enc IS
  'Who it is about, sealed, so that the work finds its way after a crash; gone when an erasure has ended.';
COMMENT ON COLUMN data_requests.notes_enc IS
  'What staff wrote: how the person was verified, reasons, corrections; sealed; gone with an erasure.';
SELECT app.protect('data_requests');
REVOKE DELETE ON data_requests FROM cl_app;
SELECT app.allow_definer('data_requests', 'SELECT');
"""

_STEPS = """
CREATE TABLE data_request_steps (
  tenant_id uuid NOT NULL,
  request_id uuid NOT NULL,
  place integer NOT NULL CHECK (place >= 1),
  name text NOT NULL,
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'RUNNING', 'DONE')),
  rows_found bigint NOT NULL DEFAULT 0 CHECK (rows_found >= 0),
  rows_erased bigint NOT NULL DEFAULT 0 CHECK (rows_erased >= 0),
  sha256 text NOT NULL DEFAULT '' CHECK (sha256 ~ '^([0-9a-f]{64})?$'),
  done_at timestamptz,
  PRIMARY KEY (tenant_id, request_id, place),
  UNIQUE (tenant_id, request_id, name),
  FOREIGN KEY (tenant_id, request_id) REFERENCES data_requests (tenant_id, id),
  CHECK ((state = 'DONE') = (done_at IS NOT NULL))
);
COMMENT ON TABLE data_request_steps IS 'The work of a request, one row a store; together the manifest.';
SELECT app.protect('data_request_steps');
REVOKE DELETE ON data_request_steps FROM cl_app;
"""

_LINKS = """
CREATE TABLE consent_links (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  identity_id uuid NOT NULL,
  secret_sha256 bytea NOT NULL CHECK (octet_length(secret_sha256) = 32),
  token_sha256 bytea CHECK (octet_length(token_sha256) = 32),
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  opened_at timestamptz,
  token_expires_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, identity_id) REFERENCES consent_identities (tenant_id, id),
  CHECK ((token_sha256 IS NULL) = (opened_at IS NULL)),
  CHECK ((token_sha256 IS NULL) = (token_expires_at IS NULL))
);
CREATE UNIQUE INDEX consent_links_by_secret ON consent_links (tenant_id, secret_sha256);
CREATE INDEX consent_links_secrets ON consent_links (secret_sha256);
CREATE INDEX consent_links_tokens ON consent_links (token_sha256) WHERE token_sha256 IS NOT NULL;
CREATE INDEX consent_links_by_identity ON consent_links (tenant_id, identity_id);
COMMENT ON TABLE consent_links IS
  'Links by which a person reaches their own decisions: opened once, by POST, for a token of 30 minutes.';
SELECT app.protect('consent_links');
SELECT app.allow_definer('consent_links', 'SELECT, UPDATE, DELETE');
"""

# Whoever shows a secret or a token is unknown until it is found, so these two look across tenants.
_LINK_USE = """
CREATE FUNCTION app.consent_link_open(p_secret_sha256 bytea, p_token_sha256 bytea, p_token_s integer)
RETURNS TABLE (tenant_id uuid, identity_id uuid, link_id uuid, token_expires_at timestamptz)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  UPDATE public.consent_links l
     SET opened_at = clock_timestamp(), token_sha256 = p_token_sha256,
         token_expires_at = clock_timestamp() + make_interval(secs => p_token_s)
    FROM public.consent_identities i, public.tenants t
   WHERE l.secret_sha256 = p_secret_sha256 AND l.opened_at IS NULL AND l.expires_at > clock_timestamp()
     AND i.tenant_id = l.tenant_id AND i.id = l.identity_id AND i.erased_at IS NULL
     AND t.id = l.tenant_id AND t.status = 'ACTIVE'
  RETURNING l.tenant_id, l.identity_id, l.id, l.token_expires_at
$$;
SELECT app.define('app.consent_link_open(bytea, bytea, integer)');

CREATE FUNCTION app.consent_link_token(p_token_sha256 bytea)
RETURNS TABLE (tenant_id uuid, identity_id uuid, link_id uuid, token_expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT l.tenant_id, l.identity_id, l.id, l.token_expires_at
    FROM public.consent_links l
    JOIN public.tenants t ON t.id = l.tenant_id AND t.status = 'ACTIVE'
   WHERE l.token_sha256 = p_token_sha256 AND l.token_expires_at > clock_timestamp()
$$;
SELECT app.define('app.consent_link_token(bytea)');
"""

# One row per model however many persons are erased before it is trained again.
_TRAINING = """
ALTER TABLE training_runs
  DROP CONSTRAINT training_runs_cause_check,
  ADD CONSTRAINT training_runs_cause_check
    CHECK (cause IN ('REQUESTED', 'FIRST_IMPORT', 'GROWTH', 'DRIFT', 'SCHEDULE', 'ERASURE'));

CREATE TABLE trainings_after_erasure (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  model text NOT NULL,
  since timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, model)
);
COMMENT ON TABLE trainings_after_erasure IS
  'Models that were trained with somebody who was erased at the given time or before.';
SELECT app.protect('trainings_after_erasure');
SELECT app.allow_definer('trainings_after_erasure', 'SELECT');

CREATE FUNCTION app.train_without(p_customer uuid) RETURNS void LANGUAGE sql AS $$
  INSERT INTO public.trainings_after_erasure (tenant_id, model, since)
  SELECT a.tenant_id, a.model, clock_timestamp()
    FROM public.model_aliases a
    JOIN public.customers c ON c.tenant_id = a.tenant_id AND c.id = p_customer
   WHERE a.tenant_id = app.tid() AND a.alias = 'CHAMPION' AND NOT EXISTS (
     SELECT FROM public.training_runs r
      WHERE r.tenant_id = a.tenant_id AND r.model = a.model AND r.version = a.version
        AND r.ended_at < c.created_at)
  ON CONFLICT (tenant_id, model) DO UPDATE SET since = excluded.since
$$;
COMMENT ON FUNCTION app.train_without(uuid) IS
  'Note the active models whose training may have known a customer: it had not ended when the customer came.';
GRANT EXECUTE ON FUNCTION app.train_without(uuid) TO cl_app;

CREATE FUNCTION app.tenants_to_train_after_erasure(p_after uuid, p_limit integer)
RETURNS TABLE (tenant_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT DISTINCT e.tenant_id FROM public.trainings_after_erasure e
    JOIN public.tenants t ON t.id = e.tenant_id AND t.status = 'ACTIVE'
   WHERE e.tenant_id > p_after ORDER BY 1 LIMIT p_limit
$$;
COMMENT ON FUNCTION app.tenants_to_train_after_erasure(uuid, integer) IS
  'Tenants behind p_after with a model to be trained without the persons that were erased.';
"""

_UPKEEP = """
CREATE FUNCTION app.data_requests_overdue() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT count(*) FROM public.data_requests
   WHERE due_at < clock_timestamp() AND state NOT IN ('COMPLETED', 'REJECTED', 'CANCELLED')
$$;
COMMENT ON FUNCTION app.data_requests_overdue() IS 'Requests of all tenants that should have been answered.';

CREATE FUNCTION app.consent_links_purge(p_limit integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM public.consent_links l USING (
      SELECT k.tenant_id, k.id FROM public.consent_links k
       WHERE greatest(k.expires_at, k.token_expires_at) < clock_timestamp() LIMIT p_limit) old
     WHERE l.tenant_id = old.tenant_id AND l.id = old.id RETURNING 1)
  SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION app.consent_links_purge(integer) IS 'Delete links and tokens that open nothing any more.';
SELECT app.allow_reading();
"""
