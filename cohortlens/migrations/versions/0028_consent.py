"""Purposes, notices and what customers decided about them."""

from __future__ import annotations

from cohortlens.migrations.ddl import only_jobs, run_script

revision = "0028_consent"
down_revision = "0027_cohorts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of the consent slice; every tenant gets the purposes of the deployment."""
    for script in (_SEEDS, _PURPOSES, _NOTICES, _IDENTITIES, _EVENTS, _STATES, _RECEIPTS, _SEEDING, _STORED):
        run_script(script)
    only_jobs("app.consents_due(integer)")


_SEEDS = """
CREATE TABLE purpose_seeds (
  key text PRIMARY KEY CHECK (key ~ '^[a-z][a-z0-9_]{0,62}$'),
  title text NOT NULL,
  description text NOT NULL,
  dpv_purpose text NOT NULL,
  mechanism text NOT NULL CHECK (mechanism IN ('OPT_IN', 'OPT_OUT', 'NOTICE')),
  data_categories text[] NOT NULL,
  recipients text[] NOT NULL,
  retention_days integer NOT NULL CHECK (retention_days >= 1),
  validity_days integer CHECK (validity_days >= 1),
  activities text[] NOT NULL
);
COMMENT ON TABLE purpose_seeds IS
  'The purposes a new tenant starts with; belongs to the deployment. A change reaches new tenants alone.';
GRANT SELECT ON purpose_seeds TO cl_app, cl_definer;
GRANT UPDATE (mechanism, validity_days, retention_days, recipients) ON purpose_seeds TO cl_jobs;
INSERT INTO purpose_seeds VALUES
  ('profiling', 'Analysis of purchases',
   'We group customers by how they buy and estimate what they will buy next.',
   'https://w3id.org/dpv#Personalisation', 'OPT_IN',
   '{https://w3id.org/dpv/pd#PurchasesAndSpendingHabit}', '{}', 1095, 730,
   '{analytics.segmentation,analytics.prediction,analytics.explanation,training.model}'),
  ('marketing', 'Personal recommendations',
   'We choose offers and messages by what a customer has bought.',
   'https://w3id.org/dpv#PersonalisedAdvertising', 'OPT_IN',
   '{https://w3id.org/dpv/pd#PurchasesAndSpendingHabit}', '{}', 1095, 730, '{marketing.recommendation}'),
  ('data_sharing', 'Sharing of aggregates',
   'We let other organisations use figures about groups of customers, and keep reports on public storage, '
   'sealed.',
   'https://w3id.org/dpv#SellInsightsFromData', 'OPT_IN',
   '{https://w3id.org/dpv/pd#PurchasesAndSpendingHabit}', '{Buyers on the data marketplace}', 1095, 365,
   '{sharing.marketplace,storage.ipfs}'),
  ('rewards', 'Rewards for consent',
   'We pay tokens to a wallet that the customer names, on a public chain.',
   'https://w3id.org/dpv#CustomerRelationshipManagement', 'OPT_IN',
   '{https://w3id.org/dpv/pd#AccountIdentifier}', '{Readers of a public chain}', 3650, 730,
   '{rewards.onchain}');

CREATE FUNCTION app.consent_immutable() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;
"""

_PURPOSES = """
CREATE TABLE purposes (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  key text COLLATE "C" NOT NULL CHECK (key ~ '^[a-z][a-z0-9_]{0,62}$'),
  version integer NOT NULL CHECK (version >= 1),
  title text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 200),
  description text NOT NULL CHECK (char_length(description) BETWEEN 1 AND 2000),
  dpv_purpose text NOT NULL CHECK (char_length(dpv_purpose) BETWEEN 1 AND 200),
  lawful_basis text NOT NULL CHECK (lawful_basis IN (
    'CONSENT', 'CONTRACT', 'LEGAL_OBLIGATION', 'VITAL_INTEREST', 'PUBLIC_TASK', 'LEGITIMATE_INTEREST')),
  mechanism text NOT NULL CHECK (mechanism IN ('OPT_IN', 'OPT_OUT', 'NOTICE')),
  data_categories text[] NOT NULL DEFAULT '{}',
  recipients text[] NOT NULL DEFAULT '{}',
  retention_days integer NOT NULL CHECK (retention_days BETWEEN 1 AND 36500),
  validity_days integer CHECK (validity_days BETWEEN 1 AND 36500),
  requires_reconsent boolean NOT NULL DEFAULT false,
  min_version integer NOT NULL,
  activities text[] NOT NULL DEFAULT '{}',
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, key, version),
  CHECK (min_version BETWEEN 1 AND version),
  CHECK (CASE mechanism WHEN 'OPT_IN' THEN lawful_basis = 'CONSENT'
         WHEN 'OPT_OUT' THEN lawful_basis IN ('LEGITIMATE_INTEREST', 'PUBLIC_TASK')
         ELSE lawful_basis IN ('CONTRACT', 'LEGAL_OBLIGATION', 'VITAL_INTEREST', 'PUBLIC_TASK') END)
);
COMMENT ON TABLE purposes IS 'Versions of purposes; the highest one holds. A row never changes.';
COMMENT ON COLUMN purposes.min_version IS
  'Oldest version whose consents still count: the newest one that requires to be consented to again.';
COMMENT ON COLUMN purposes.validity_days IS 'Days after which a consent ends by itself; NULL: it does not.';
SELECT app.protect('purposes');
REVOKE UPDATE, DELETE ON purposes FROM cl_app;
SELECT app.allow_definer('purposes', 'SELECT, INSERT');
CREATE TRIGGER never_changed BEFORE UPDATE ON purposes
  FOR EACH ROW EXECUTE FUNCTION app.consent_immutable();

-- What holds now, in one row for each purpose: checks of single customers read this.
CREATE TABLE purpose_heads (
  tenant_id uuid NOT NULL,
  key text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  min_version integer NOT NULL,
  mechanism text NOT NULL,
  PRIMARY KEY (tenant_id, key),
  FOREIGN KEY (tenant_id, key, version) REFERENCES purposes (tenant_id, key, version)
);
COMMENT ON TABLE purpose_heads IS 'The version of each purpose that holds; a change of it locks its row.';
SELECT app.protect('purpose_heads');
REVOKE DELETE ON purpose_heads FROM cl_app;
SELECT app.allow_definer('purpose_heads', 'SELECT, INSERT');

CREATE TABLE purpose_activities (
  tenant_id uuid NOT NULL,
  activity text COLLATE "C" NOT NULL CHECK (activity ~ '^[a-z]+[.][a-z_]+$'),
  purpose_key text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, activity),
  FOREIGN KEY (tenant_id, purpose_key) REFERENCES purpose_heads (tenant_id, key)
);
COMMENT ON TABLE purpose_activities IS 'Which purpose covers an activity; one that none covers is refused.';
SELECT app.protect('purpose_activities');
SELECT app.allow_definer('purpose_activities', 'SELECT, INSERT');
"""

_NOTICES = """
CREATE TABLE notices (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  id uuid NOT NULL,
  key text COLLATE "C" NOT NULL CHECK (key ~ '^[a-z][a-z0-9_]{0,62}$'),
  version integer NOT NULL CHECK (version >= 1),
  locale text COLLATE "C" NOT NULL CHECK (char_length(locale) BETWEEN 2 AND 35),
  content text NOT NULL CHECK (char_length(content) BETWEEN 1 AND 100000),
  sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
  controller jsonb NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, key, version, locale)
);
CREATE INDEX notices_by_id ON notices (id);
COMMENT ON TABLE notices IS 'What customers were told, word for word; one row a version and language.';
COMMENT ON COLUMN notices.controller IS 'Who answers for the processing, as the notice names it.';
SELECT app.protect('notices');
REVOKE UPDATE, DELETE ON notices FROM cl_app;
SELECT app.allow_definer('notices', 'SELECT');
CREATE TRIGGER never_changed BEFORE UPDATE ON notices
  FOR EACH ROW EXECUTE FUNCTION app.consent_immutable();

CREATE TABLE notice_purposes (
  tenant_id uuid NOT NULL,
  notice_id uuid NOT NULL,
  purpose_key text COLLATE "C" NOT NULL,
  purpose_version integer NOT NULL,
  PRIMARY KEY (tenant_id, notice_id, purpose_key),
  FOREIGN KEY (tenant_id, notice_id) REFERENCES notices (tenant_id, id),
  FOREIGN KEY (tenant_id, purpose_key, purpose_version) REFERENCES purposes (tenant_id, key, version)
);
SELECT app.protect('notice_purposes');
REVOKE UPDATE, DELETE ON notice_purposes FROM cl_app;
SELECT app.allow_definer('notice_purposes', 'SELECT');

-- A notice is public: whoever has its identifier may read what customers were told.
CREATE FUNCTION app.notice(p_notice uuid)
RETURNS TABLE (id uuid, key text, version integer, locale text, content text, sha256 bytea, controller jsonb,
               created_at timestamptz, purposes jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT n.id, n.key, n.version, n.locale, n.content, n.sha256, n.controller, n.created_at,
         (SELECT coalesce(jsonb_agg(jsonb_build_object('key', p.purpose_key, 'version', p.purpose_version)
                                    ORDER BY p.purpose_key), '[]')
            FROM public.notice_purposes p WHERE p.tenant_id = n.tenant_id AND p.notice_id = n.id)
    FROM public.notices n JOIN public.tenants t ON t.id = n.tenant_id AND t.status <> 'ERASED'
   WHERE n.id = p_notice
$$;
SELECT app.define('app.notice(uuid)');
"""

_IDENTITIES = """
CREATE TABLE consent_identities (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  id uuid NOT NULL,
  customer_id uuid,
  ident_bidx bytea NOT NULL CHECK (octet_length(ident_bidx) = 32),
  ident_enc bytea,
  data_key_enc bytea,
  restricted_at timestamptz,
  objected_at timestamptz,
  erased_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, ident_bidx),
  UNIQUE (tenant_id, customer_id),
  FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id) ON DELETE SET NULL (customer_id),
  CHECK (erased_at IS NULL OR (ident_enc IS NULL AND data_key_enc IS NULL AND customer_id IS NULL))
);
COMMENT ON TABLE consent_identities IS 'Whose decisions they are: a customer, a coming or an erased one.';
COMMENT ON COLUMN consent_identities.ident_bidx IS 'Keyed hash of external_id, to find a person by.';
COMMENT ON COLUMN consent_identities.ident_enc IS 'external_id under the tenant''s key, until an erasure.';
COMMENT ON COLUMN consent_identities.data_key_enc IS 'Key of the evidence of the person''s events.';
SELECT app.protect('consent_identities');
REVOKE DELETE ON consent_identities FROM cl_app;
SELECT app.allow_definer('consent_identities', 'SELECT');
"""

_EVENTS = """
CREATE SEQUENCE consent_places CACHE 1;
GRANT USAGE ON SEQUENCE consent_places TO cl_app;

CREATE TABLE consent_events (
  tenant_id uuid NOT NULL,
  created_at timestamptz NOT NULL,
  id uuid NOT NULL,
  place bigint NOT NULL,
  identity_id uuid NOT NULL,
  purpose_key text COLLATE "C" NOT NULL,
  purpose_version integer NOT NULL,
  type text NOT NULL CHECK (type IN (
    'GIVEN', 'REAFFIRMED', 'REFUSED', 'WITHDRAWN', 'EXPIRED', 'INVALIDATED')),
  collected_at timestamptz NOT NULL,
  expires_at timestamptz,
  method text NOT NULL CHECK (method IN ('FORM', 'BANNER', 'API', 'IMPORT', 'LINK', 'SIGNAL', 'SYSTEM')),
  origin text NOT NULL DEFAULT '' CHECK (char_length(origin) <= 200),
  actor text NOT NULL,
  locale text NOT NULL DEFAULT '',
  notice_id uuid,
  notice_sha256 bytea,
  receipt_id uuid,
  prev_event_id uuid,
  request_id text NOT NULL DEFAULT '',
  evidence_enc bytea,
  PRIMARY KEY (tenant_id, created_at, id),
  FOREIGN KEY (tenant_id, identity_id) REFERENCES consent_identities (tenant_id, id),
  CHECK ((notice_id IS NULL) = (notice_sha256 IS NULL))
) PARTITION BY RANGE (created_at);
CREATE INDEX consent_events_by_identity ON consent_events (tenant_id, identity_id, purpose_key, place);
CREATE INDEX consent_events_by_id ON consent_events (tenant_id, id);
CREATE INDEX consent_events_by_receipt ON consent_events (tenant_id, receipt_id) WHERE receipt_id IS NOT NULL;
CREATE INDEX consent_events_by_place ON consent_events (tenant_id, place);
COMMENT ON TABLE consent_events IS 'Every act, also one that changed no state; a row never changes.';
COMMENT ON COLUMN consent_events.created_at IS 'When it was recorded; collected_at is when it was done.';
COMMENT ON COLUMN consent_events.place IS 'Rises in the order in which acts of an identity were recorded.';
COMMENT ON COLUMN consent_events.evidence_enc IS 'Sealed with the key of the identity.';
SELECT app.protect('consent_events');
REVOKE UPDATE, DELETE ON consent_events FROM cl_app;
SELECT app.allow_definer('consent_events', 'SELECT');
CREATE TRIGGER never_changed BEFORE UPDATE ON consent_events
  FOR EACH ROW EXECUTE FUNCTION app.consent_immutable();
SELECT app.ensure_partitions('consent_events', 3);
"""

_STATES = """
CREATE TABLE user_consents (
  tenant_id uuid NOT NULL,
  identity_id uuid NOT NULL,
  purpose_key text COLLATE "C" NOT NULL,
  state text NOT NULL CHECK (state IN ('GIVEN', 'REFUSED', 'WITHDRAWN', 'EXPIRED', 'INVALIDATED')),
  event_id uuid NOT NULL,
  since timestamptz NOT NULL,
  expires_at timestamptz,
  purpose_version integer NOT NULL,
  -- What decides between two acts, whatever the order they arrive in: the greater of these three.
  decided_at timestamptz NOT NULL,
  decided_rank smallint NOT NULL CHECK (decided_rank BETWEEN 1 AND 3),
  decided_place bigint NOT NULL,
  version bigint NOT NULL DEFAULT 0,
  verifiable_credential_id uuid,
  PRIMARY KEY (tenant_id, identity_id, purpose_key),
  FOREIGN KEY (tenant_id, identity_id) REFERENCES consent_identities (tenant_id, id)
) WITH (fillfactor = 80);
CREATE INDEX user_consents_given ON user_consents (tenant_id, purpose_key, identity_id) WHERE state = 'GIVEN';
CREATE INDEX user_consents_expiring ON user_consents (expires_at) WHERE state = 'GIVEN';
CREATE INDEX user_consents_by_version ON user_consents (tenant_id, version);
COMMENT ON TABLE user_consents IS 'The state of each person and purpose, made from the events.';
COMMENT ON COLUMN user_consents.decided_rank IS 'Of acts of one moment: 3 withdrawn, 2 refused, 1 given.';
COMMENT ON COLUMN user_consents.version IS
  'Place in the audit chain of the act that changed the row: rises in the order of commits; 0 until then.';
SELECT app.protect('user_consents');
REVOKE DELETE ON user_consents FROM cl_app;
SELECT app.allow_definer('user_consents', 'SELECT');

CREATE FUNCTION app.consent_commit(p_canonical bytea) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE seq bigint := app.audit_append(p_canonical);
BEGIN
  -- Rows with 0 are this transaction's own: no other one ever commits them.
  UPDATE public.user_consents SET version = seq WHERE tenant_id = app.tid() AND version = 0;
  RETURN seq;
END $$;
COMMENT ON FUNCTION app.consent_commit(bytea) IS
  'Chain the audit row of an act and give changed states its place as their version; sent with the COMMIT.';
GRANT EXECUTE ON FUNCTION app.consent_commit(bytea) TO cl_app;

CREATE FUNCTION app.consents_due(p_limit integer) RETURNS TABLE (tenant_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT u.tenant_id FROM public.user_consents u
   WHERE u.state = 'GIVEN' AND u.expires_at <= clock_timestamp()
  UNION
  SELECT h.tenant_id FROM public.purpose_heads h WHERE h.min_version > 1 AND EXISTS (
    SELECT 1 FROM public.user_consents u WHERE u.tenant_id = h.tenant_id AND u.purpose_key = h.key
       AND u.state = 'GIVEN' AND u.purpose_version < h.min_version)
  LIMIT p_limit
$$;
COMMENT ON FUNCTION app.consents_due(integer) IS 'Tenants with consents that are over and still say GIVEN.';
"""

_RECEIPTS = """
CREATE TABLE consent_receipts (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  identity_id uuid NOT NULL,
  record bytea NOT NULL,
  signature text NOT NULL,
  kid text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, identity_id) REFERENCES consent_identities (tenant_id, id)
);
CREATE INDEX consent_receipts_by_id ON consent_receipts (id);
CREATE INDEX consent_receipts_by_identity ON consent_receipts (tenant_id, identity_id);
COMMENT ON TABLE consent_receipts IS 'What a person may show: RFC 8785 bytes and the detached JWS over them.';
SELECT app.protect('consent_receipts');
REVOKE UPDATE ON consent_receipts FROM cl_app;
SELECT app.allow_definer('consent_receipts', 'SELECT');

-- For whoever holds the receipt itself: nothing but whether what it says still stands.
CREATE FUNCTION app.receipt_standing(p_receipt uuid, p_sha256 bytea)
RETURNS TABLE (revoked boolean, superseded_by uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH told AS (
    SELECT e.tenant_id, e.identity_id, e.purpose_key, e.id
      FROM public.consent_receipts r
      JOIN public.consent_events e ON e.tenant_id = r.tenant_id AND e.receipt_id = r.id
     WHERE r.id = p_receipt AND sha256(r.record) = p_sha256),
  now AS (
    SELECT t.id, u.state, u.event_id, u.expires_at, h.min_version, u.purpose_version, i.erased_at,
           e.receipt_id, e.place
      FROM told t
      JOIN public.consent_identities i ON i.tenant_id = t.tenant_id AND i.id = t.identity_id
      LEFT JOIN public.user_consents u ON u.tenant_id = t.tenant_id AND u.identity_id = t.identity_id
           AND u.purpose_key = t.purpose_key
      LEFT JOIN public.purpose_heads h ON h.tenant_id = t.tenant_id AND h.key = t.purpose_key
      LEFT JOIN public.consent_events e ON e.tenant_id = t.tenant_id AND e.id = u.event_id)
  SELECT bool_or(n.erased_at IS NOT NULL OR n.state IS DISTINCT FROM 'GIVEN'
                 OR n.expires_at <= clock_timestamp() OR n.purpose_version < n.min_version),
         (array_agg(n.receipt_id ORDER BY n.place DESC)
            FILTER (WHERE n.event_id <> n.id AND n.receipt_id IS DISTINCT FROM p_receipt
                          AND n.receipt_id IS NOT NULL))[1]
    FROM now n HAVING count(*) > 0
$$;
SELECT app.define('app.receipt_standing(uuid, bytea)');
"""

_SEEDING = """
CREATE FUNCTION app.purposes_begin(p_tenant uuid, p_mechanisms jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  INSERT INTO public.purposes (tenant_id, key, version, title, description, dpv_purpose, lawful_basis,
      mechanism, data_categories, recipients, retention_days, validity_days, min_version, activities,
      created_by)
    SELECT p_tenant, s.key, 1, s.title, s.description, s.dpv_purpose,
           CASE m.mechanism WHEN 'OPT_IN' THEN 'CONSENT' WHEN 'OPT_OUT' THEN 'LEGITIMATE_INTEREST'
                            ELSE 'CONTRACT' END,
           m.mechanism, s.data_categories, s.recipients, s.retention_days, s.validity_days, 1, s.activities,
           'system:purpose_seeds'
      FROM public.purpose_seeds s
     CROSS JOIN LATERAL (SELECT coalesce(p_mechanisms ->> s.key, s.mechanism) AS mechanism) m
  ON CONFLICT DO NOTHING;
  INSERT INTO public.purpose_heads (tenant_id, key, version, min_version, mechanism)
    SELECT p.tenant_id, p.key, 1, 1, p.mechanism FROM public.purposes p
      JOIN public.purpose_seeds s ON s.key = p.key WHERE p.tenant_id = p_tenant AND p.version = 1
  ON CONFLICT DO NOTHING;
  INSERT INTO public.purpose_activities (tenant_id, activity, purpose_key)
    SELECT p_tenant, a.activity, s.key FROM public.purpose_seeds s
     CROSS JOIN LATERAL unnest(s.activities) AS a (activity)
  ON CONFLICT DO NOTHING;
$$;
SELECT app.define('app.purposes_begin(uuid, jsonb)');

CREATE FUNCTION app.note_tenant_purposes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM app.purposes_begin(NEW.id, '{}');
  RETURN NULL;
END $$;
SELECT app.define('app.note_tenant_purposes()');
CREATE TRIGGER tenant_begins_purposes AFTER INSERT ON tenants
  FOR EACH ROW WHEN (NEW.kind = 'CUSTOMER') EXECUTE FUNCTION app.note_tenant_purposes();
"""

# Tenants from before worked without consent: their analysis goes on, on legitimate interest, until their
# admin decides otherwise; everything else waits for consents.
_STORED = """
SET LOCAL ROLE cl_definer;
REVOKE EXECUTE ON FUNCTION app.purposes_begin(uuid, jsonb), app.note_tenant_purposes() FROM cl_app;
SELECT app.purposes_begin(id, '{"profiling": "OPT_OUT"}')
  FROM public.tenants WHERE kind = 'CUSTOMER' AND status <> 'ERASED';
RESET ROLE;
SELECT app.allow_reading();
"""
