"""Whose data may be used for what, as every reader asks it in its own statement, and what was left out."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0029_consent_checks"
down_revision = "0028_consent"
branch_labels = None
depends_on = None

# The planner puts these functions into the statement that asks, so an index on customers serves both. It does
# so only for functions that are STABLE, in plain SQL, without rights and settings of their own.
_CHECKS = """
CREATE FUNCTION app.is_usable(p_mechanism text, p_min_version integer, p_state text, p_version integer,
                              p_expires_at timestamptz, p_restricted_at timestamptz,
                              p_objected_at timestamptz)
RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT p_restricted_at IS NULL AND CASE p_mechanism
    WHEN 'OPT_IN' THEN p_objected_at IS NULL AND coalesce(p_state = 'GIVEN' AND p_version >= p_min_version
      AND (p_expires_at IS NULL OR p_expires_at > statement_timestamp()), false)
    WHEN 'OPT_OUT' THEN p_objected_at IS NULL AND coalesce(p_state NOT IN ('WITHDRAWN', 'REFUSED'), true)
    ELSE true END
$$;
COMMENT ON FUNCTION app.is_usable(text, integer, text, integer, timestamptz, timestamptz, timestamptz) IS
  'Whether one person may be used for one purpose: OPT_IN needs a consent that stands, OPT_OUT that nobody '
  'refused, withdrew or objected, NOTICE nothing; a restriction stops each.';
GRANT EXECUTE ON FUNCTION app.is_usable(text, integer, text, integer, timestamptz, timestamptz, timestamptz)
  TO cl_app, cl_definer;

CREATE FUNCTION app.purpose_customers(p_purpose text) RETURNS TABLE (customer_id uuid)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT c.id FROM public.purpose_heads h
    JOIN public.customers c ON c.tenant_id = h.tenant_id
    LEFT JOIN public.consent_identities i ON i.tenant_id = c.tenant_id AND i.customer_id = c.id
    LEFT JOIN public.user_consents u
      ON u.tenant_id = i.tenant_id AND u.identity_id = i.id AND u.purpose_key = p_purpose
   WHERE h.tenant_id = app.tid() AND h.key = p_purpose
     AND app.is_usable(h.mechanism, h.min_version, u.state, u.purpose_version, u.expires_at,
                       i.restricted_at, i.objected_at)
$$;
COMMENT ON FUNCTION app.purpose_customers(text) IS
  'Customers of the tenant who may be used for a purpose now; none for an unknown purpose.';
GRANT EXECUTE ON FUNCTION app.purpose_customers(text) TO cl_app;

CREATE FUNCTION app.usable_customers(p_activity text) RETURNS TABLE (customer_id uuid)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT c.id FROM public.purpose_activities a
    JOIN public.purpose_heads h ON h.tenant_id = a.tenant_id AND h.key = a.purpose_key
    JOIN public.customers c ON c.tenant_id = a.tenant_id
    LEFT JOIN public.consent_identities i ON i.tenant_id = c.tenant_id AND i.customer_id = c.id
    LEFT JOIN public.user_consents u
      ON u.tenant_id = i.tenant_id AND u.identity_id = i.id AND u.purpose_key = h.key
   WHERE a.tenant_id = app.tid() AND a.activity = p_activity
     AND app.is_usable(h.mechanism, h.min_version, u.state, u.purpose_version, u.expires_at,
                       i.restricted_at, i.objected_at)
$$;
COMMENT ON FUNCTION app.usable_customers(text) IS
  'Customers of the tenant who may be used for an activity now; none for one that no purpose covers.';
GRANT EXECUTE ON FUNCTION app.usable_customers(text) TO cl_app;

CREATE FUNCTION app.may_use(p_customer uuid, p_activity text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT EXISTS (SELECT FROM app.usable_customers(p_activity) u WHERE u.customer_id = p_customer)
$$;
COMMENT ON FUNCTION app.may_use(uuid, text) IS 'Whether one customer may be used for an activity now.';
GRANT EXECUTE ON FUNCTION app.may_use(uuid, text) TO cl_app;
"""

# Ten thousand customers are looked up without a visit to their rows, which lie anywhere.
_INDEXES = """
ALTER TABLE user_consents DROP CONSTRAINT user_consents_pkey,
  ADD PRIMARY KEY (tenant_id, identity_id, purpose_key) INCLUDE (state, purpose_version, expires_at);
ALTER TABLE consent_identities DROP CONSTRAINT consent_identities_tenant_id_customer_id_key,
  ADD UNIQUE (tenant_id, customer_id) INCLUDE (id, restricted_at, objected_at);
DROP INDEX user_consents_given;
CREATE INDEX user_consents_given ON user_consents (tenant_id, purpose_key, identity_id)
  INCLUDE (purpose_version, expires_at) WHERE state = 'GIVEN';
CREATE INDEX user_consents_refused ON user_consents (tenant_id, purpose_key, identity_id)
  WHERE state IN ('WITHDRAWN', 'REFUSED');
"""

_VERSIONS = """
ALTER TABLE consent_identities ADD COLUMN version bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN consent_identities.version IS
  'Place in the audit chain of the act that last restricted, lifted, objected or erased; 0 for never.';
CREATE INDEX consent_identities_by_version ON consent_identities (tenant_id, version) WHERE version > 0;
CREATE INDEX user_consents_lost ON user_consents (tenant_id, version) WHERE state <> 'GIVEN';

CREATE FUNCTION app.note_identity_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  UPDATE public.consent_identities SET version = coalesce(
    (SELECT h.seq FROM public.audit_heads h WHERE h.tenant_id = NEW.tenant_id), 0)
   WHERE tenant_id = NEW.tenant_id AND id = NEW.id;
  RETURN NULL;
END $$;
-- At the commit, behind the audit row of the act: versions then rise in the order of commits.
CREATE CONSTRAINT TRIGGER identity_changed AFTER UPDATE OF restricted_at, objected_at, erased_at
  ON consent_identities DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (OLD.restricted_at IS DISTINCT FROM NEW.restricted_at
        OR OLD.objected_at IS DISTINCT FROM NEW.objected_at OR OLD.erased_at IS DISTINCT FROM NEW.erased_at)
  EXECUTE FUNCTION app.note_identity_change();

ALTER TABLE purpose_heads ADD COLUMN changed bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN purpose_heads.changed IS
  'Place in the audit chain of the version that holds; 0 for the first.';

CREATE FUNCTION app.note_purpose_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  UPDATE public.purpose_heads SET changed = coalesce(
    (SELECT h.seq FROM public.audit_heads h WHERE h.tenant_id = NEW.tenant_id), 0)
   WHERE tenant_id = NEW.tenant_id AND key = NEW.key;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER purpose_changed AFTER UPDATE OF version ON purpose_heads
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.note_purpose_change();

CREATE FUNCTION app.consent_version() RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT greatest(
    (SELECT coalesce(max(u.version), 0) FROM public.user_consents u WHERE u.tenant_id = app.tid()),
    (SELECT coalesce(max(i.version), 0) FROM public.consent_identities i
      WHERE i.tenant_id = app.tid() AND i.version > 0),
    (SELECT coalesce(max(h.changed), 0) FROM public.purpose_heads h WHERE h.tenant_id = app.tid()))
$$;
COMMENT ON FUNCTION app.consent_version() IS
  'Version of the tenant''s last change of a consent or a purpose; 0 for none.';
GRANT EXECUTE ON FUNCTION app.consent_version() TO cl_app;

CREATE FUNCTION app.consent_losses() RETURNS text LANGUAGE sql STABLE AS $$
  SELECT concat_ws(':',
    (SELECT max(u.version) FROM public.user_consents u WHERE u.tenant_id = app.tid() AND u.state <> 'GIVEN'),
    (SELECT max(i.version) FROM public.consent_identities i WHERE i.tenant_id = app.tid() AND i.version > 0),
    (SELECT count(*) FROM public.user_consents u
      WHERE u.tenant_id = app.tid() AND u.state = 'GIVEN' AND u.expires_at <= statement_timestamp()),
    (SELECT sum(h.version) FROM public.purpose_heads h WHERE h.tenant_id = app.tid()),
    (SELECT string_agg(a.activity || '=' || a.purpose_key, ',' ORDER BY a.activity)
       FROM public.purpose_activities a WHERE a.tenant_id = app.tid()))
$$;
COMMENT ON FUNCTION app.consent_losses() IS
  'Mark that changes whenever somebody may be used no more: by an act, a restriction, time or a purpose.';
GRANT EXECUTE ON FUNCTION app.consent_losses() TO cl_app;
"""

_EXCLUDED = """
ALTER TABLE segmentation_runs ADD COLUMN excluded_no_consent bigint NOT NULL DEFAULT 0;
ALTER TABLE batch_predictions ADD COLUMN excluded_no_consent bigint NOT NULL DEFAULT 0;
ALTER TABLE training_runs ADD COLUMN excluded_no_consent bigint NOT NULL DEFAULT 0,
  ADD COLUMN consent_version bigint;
ALTER TABLE drift_reports ADD COLUMN excluded_no_consent bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN segmentation_runs.excluded_no_consent IS
  'Customers with features who may not be segmented.';
COMMENT ON COLUMN batch_predictions.excluded_no_consent IS
  'Customers with features left out at the freeze, or out of the result for a decision made since.';
COMMENT ON COLUMN training_runs.excluded_no_consent IS 'Customers with purchases left out of the snapshot.';
COMMENT ON COLUMN training_runs.consent_version IS
  'Version of the last change of a consent that the snapshot knows; NULL in runs of earlier releases.';
COMMENT ON COLUMN drift_reports.excluded_no_consent IS 'Customers with purchases left out of the comparison.';
"""


def upgrade() -> None:
    """Make the checks, the marks that tell of changes, and the counts of who was left out."""
    for script in (_CHECKS, _INDEXES, _VERSIONS, _EXCLUDED):
        run_script(script)
