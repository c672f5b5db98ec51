"""Offers, agreements, queries and settlement.

The rows of an agreement are the seller's; its buyer reads them by a policy of its own and changes none.
"""

from __future__ import annotations

from cohortlens.migrations.ddl import only_jobs, run_script

revision = "0033_marketplace"
down_revision = "0032_fulfilment"
branch_labels = None
depends_on = None

_OFFERS = """
CREATE TABLE market_offers (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  state text NOT NULL DEFAULT 'DRAFT' CHECK (state IN ('DRAFT', 'PUBLISHED', 'SUSPENDED', 'WITHDRAWN')),
  spec jsonb NOT NULL,
  version integer NOT NULL DEFAULT 0 CHECK (version >= 0),
  etag bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  published_at timestamptz,
  CHECK (state IN ('DRAFT', 'WITHDRAWN') OR version > 0),
  PRIMARY KEY (tenant_id, id)
);
COMMENT ON COLUMN market_offers.version IS 'The version on offer; 0 before the first was published.';
SELECT app.protect('market_offers');
REVOKE DELETE ON market_offers FROM cl_app;
SELECT app.allow_definer('market_offers', 'SELECT');

CREATE TABLE market_offer_versions (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id) ON DELETE CASCADE,
  offer_id uuid NOT NULL,
  version integer NOT NULL CHECK (version > 0),
  spec jsonb NOT NULL,
  terms bytea NOT NULL,
  dcat jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, offer_id, version),
  FOREIGN KEY (tenant_id, offer_id) REFERENCES market_offers (tenant_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN market_offer_versions.terms IS 'ODRL Offer, RFC 8785 bytes.';
SELECT app.protect('market_offer_versions');
REVOKE UPDATE, DELETE ON market_offer_versions FROM cl_app;
SELECT app.allow_definer('market_offer_versions', 'SELECT');

CREATE TABLE market_revisions (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id) ON DELETE CASCADE,
  offer_id uuid NOT NULL,
  revision integer NOT NULL CHECK (revision > 0),
  digest bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, offer_id, revision),
  FOREIGN KEY (tenant_id, offer_id) REFERENCES market_offers (tenant_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE market_revisions IS
  'Who contributes and what is known of them, as a digest: a change of either is a new revision.';
SELECT app.protect('market_revisions');
"""

_AGREEMENTS = """
CREATE TABLE market_agreements (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  buyer_id uuid NOT NULL,
  offer_id uuid NOT NULL,
  offer_version integer NOT NULL,
  purpose text NOT NULL,
  state text NOT NULL DEFAULT 'REQUESTED' CHECK (state IN (
    'REQUESTED', 'OFFERED', 'ACCEPTED', 'AGREED', 'VERIFIED', 'FINALIZED', 'TERMINATED')),
  reason text NOT NULL DEFAULT '',
  price_minor bigint NOT NULL CHECK (price_minor >= 0),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  incentive_micro bigint NOT NULL CHECK (incentive_micro >= 0),
  expires_at timestamptz NOT NULL,
  agreed_at timestamptz,
  data_revision integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (buyer_id <> tenant_id),
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, offer_id, offer_version)
    REFERENCES market_offer_versions (tenant_id, offer_id, version)
);
CREATE INDEX market_agreements_of_buyer ON market_agreements (buyer_id, id);
CREATE UNIQUE INDEX market_agreements_one_open ON market_agreements (tenant_id, offer_id, buyer_id)
  WHERE state IN ('REQUESTED', 'OFFERED', 'ACCEPTED');
SELECT app.protect('market_agreements');
REVOKE DELETE ON market_agreements FROM cl_app;
CREATE POLICY buyer ON market_agreements FOR SELECT USING (buyer_id = app.tid());
SELECT app.allow_definer('market_agreements', 'SELECT');

CREATE TABLE market_moves (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id) ON DELETE CASCADE,
  agreement_id uuid NOT NULL,
  place integer NOT NULL,
  buyer_id uuid NOT NULL,
  state text NOT NULL,
  actor text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, agreement_id, place),
  FOREIGN KEY (tenant_id, agreement_id) REFERENCES market_agreements (tenant_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN market_moves.actor IS 'SELLER, BUYER or PLATFORM.';
SELECT app.protect('market_moves');
REVOKE UPDATE, DELETE ON market_moves FROM cl_app;
CREATE POLICY buyer ON market_moves FOR SELECT USING (buyer_id = app.tid());
"""

_QUERIES = """
CREATE TABLE market_budgets (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id) ON DELETE CASCADE,
  scope text NOT NULL CHECK (scope IN ('TENANT', 'OFFER', 'AGREEMENT')),
  scope_id uuid NOT NULL,
  spent integer NOT NULL DEFAULT 0 CHECK (spent >= 0),
  total integer NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT market_budget_kept CHECK (spent <= total),
  PRIMARY KEY (tenant_id, scope, scope_id)
);
COMMENT ON TABLE market_budgets IS 'Thousandths of epsilon, spent within 365 days from the first charge.';
SELECT app.protect('market_budgets');
REVOKE DELETE ON market_budgets FROM cl_app;

CREATE TABLE market_answers (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  offer_id uuid NOT NULL,
  offer_version integer NOT NULL,
  revision integer NOT NULL,
  question_sha256 bytea NOT NULL CHECK (octet_length(question_sha256) = 32),
  answer bytea,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, offer_id, offer_version, revision, question_sha256),
  FOREIGN KEY (tenant_id, offer_id, offer_version)
    REFERENCES market_offer_versions (tenant_id, offer_id, version) ON DELETE CASCADE
);
COMMENT ON COLUMN market_answers.answer IS 'Stored bytes; NULL while charged and not yet computed.';
SELECT app.protect('market_answers');

CREATE TABLE market_queries (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  offer_id uuid NOT NULL,
  offer_version integer NOT NULL,
  agreement_id uuid,
  buyer_id uuid,
  question jsonb NOT NULL,
  revision integer NOT NULL,
  charged_milli integer NOT NULL CHECK (charged_milli >= 0),
  answer bytea,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, agreement_id) REFERENCES market_agreements (tenant_id, id) ON DELETE CASCADE,
  CHECK ((agreement_id IS NULL) = (buyer_id IS NULL))
);
COMMENT ON COLUMN market_queries.agreement_id IS 'NULL for a preview by the seller.';
CREATE INDEX market_queries_of_agreement ON market_queries (tenant_id, agreement_id, id);
SELECT app.protect('market_queries');
REVOKE DELETE ON market_queries FROM cl_app;
CREATE POLICY buyer ON market_queries FOR SELECT USING (buyer_id = app.tid());
"""

_SETTLEMENT = """
CREATE TABLE market_settlements (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  agreement_id uuid NOT NULL,
  buyer_id uuid NOT NULL,
  fee_bps integer NOT NULL CHECK (fee_bps BETWEEN 0 AND 10000),
  contributors integer NOT NULL,
  booked_at timestamptz,
  owed_at timestamptz,
  asked_at timestamptz,
  credential_id uuid,
  credential_json bytea,
  credited_at timestamptz,
  body bytea,
  signed_json bytea,
  cid text,
  pinned_at timestamptz,
  revoked_at timestamptz,
  attempts integer NOT NULL DEFAULT 0,
  last_reason text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, agreement_id),
  FOREIGN KEY (tenant_id, agreement_id) REFERENCES market_agreements (tenant_id, id)
);
SELECT app.protect('market_settlements');
REVOKE DELETE ON market_settlements FROM cl_app;

CREATE TABLE market_shares (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id) ON DELETE CASCADE,
  settlement_id uuid NOT NULL,
  entry_id uuid NOT NULL,
  identity_id uuid,
  amount_micro bigint NOT NULL CHECK (amount_micro >= 0),
  paid_by uuid,
  PRIMARY KEY (tenant_id, entry_id),
  FOREIGN KEY (tenant_id, settlement_id) REFERENCES market_settlements (tenant_id, id),
  FOREIGN KEY (tenant_id, identity_id) REFERENCES consent_identities (tenant_id, id)
);
COMMENT ON TABLE market_shares IS 'Whose share an entry is, frozen when both sides agreed.';
COMMENT ON COLUMN market_shares.identity_id IS 'NULL after an erasure: the entry stays, its person does not.';
COMMENT ON COLUMN market_shares.paid_by IS 'Entry whose reward carries the share; NULL while it accrues.';
CREATE INDEX market_shares_of_settlement ON market_shares (tenant_id, settlement_id);
CREATE INDEX market_shares_of_identity ON market_shares (tenant_id, identity_id)
  WHERE identity_id IS NOT NULL;
SELECT app.protect('market_shares');
REVOKE DELETE ON market_shares FROM cl_app;

CREATE TABLE market_entries (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  settlement_id uuid NOT NULL,
  account text NOT NULL CHECK (account IN ('BUYER', 'PLATFORM', 'SELLER', 'INCENTIVE', 'CONTRIBUTOR')),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3,5}$'),
  amount bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, settlement_id) REFERENCES market_settlements (tenant_id, id)
);
COMMENT ON COLUMN market_entries.amount IS
  'Minor units of the currency, or micro-tokens for TOKEN; the sum of a settlement and currency is 0.';
CREATE INDEX market_entries_of_settlement ON market_entries (tenant_id, settlement_id, currency);
SELECT app.protect('market_entries');
REVOKE UPDATE, DELETE ON market_entries FROM cl_app;
"""

_BALANCE = """
CREATE TABLE market_totals (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  settlement_id uuid NOT NULL,
  currency text NOT NULL,
  entries bigint NOT NULL,
  PRIMARY KEY (tenant_id, settlement_id, currency)
);
COMMENT ON TABLE market_totals IS
  'One row for each settlement and currency, so that a transaction sums its entries once, at its end.';
SELECT app.protect('market_totals');
REVOKE DELETE ON market_totals FROM cl_app;

CREATE FUNCTION app.market_entered() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  INSERT INTO public.market_totals AS t (tenant_id, settlement_id, currency, entries)
  SELECT tenant_id, settlement_id, currency, count(*) FROM new_entries
   GROUP BY tenant_id, settlement_id, currency
  ON CONFLICT (tenant_id, settlement_id, currency) DO UPDATE SET entries = t.entries + excluded.entries;
  RETURN NULL;
END $$;
CREATE TRIGGER market_entered AFTER INSERT ON market_entries REFERENCING NEW TABLE AS new_entries
  FOR EACH STATEMENT EXECUTE FUNCTION app.market_entered();

CREATE FUNCTION app.market_balanced() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF (SELECT sum(e.amount) FROM public.market_entries e WHERE e.tenant_id = NEW.tenant_id
       AND e.settlement_id = NEW.settlement_id AND e.currency = NEW.currency) IS DISTINCT FROM 0 THEN
    RAISE EXCEPTION 'the entries of a settlement do not balance' USING ERRCODE = '23514';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER market_balanced AFTER INSERT OR UPDATE ON market_totals
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.market_balanced();
"""

_FUNCTIONS = """
CREATE FUNCTION app.market_published(p_offer uuid, p_after uuid, p_limit integer)
RETURNS TABLE (tenant_id uuid, seller text, id uuid, version integer, etag bigint, spec jsonb, terms bytea,
               dcat jsonb, published_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT o.tenant_id, t.display_name, o.id, o.version, o.etag, v.spec, v.terms, v.dcat, v.created_at
    FROM public.market_offers o
    JOIN public.tenants t ON t.id = o.tenant_id AND t.status = 'ACTIVE'
    JOIN public.market_offer_versions v
      ON v.tenant_id = o.tenant_id AND v.offer_id = o.id AND v.version = o.version
   WHERE o.state = 'PUBLISHED' AND (p_offer IS NULL OR o.id = p_offer) AND (p_after IS NULL OR o.id < p_after)
     AND (v.spec ->> 'ends_at')::timestamptz > clock_timestamp()
   ORDER BY o.id DESC LIMIT p_limit
$$;
COMMENT ON FUNCTION app.market_published(uuid, uuid, integer) IS
  'The offers that every tenant may see, as published: the only reading across tenants.';
SELECT app.define('app.market_published(uuid, uuid, integer)');

CREATE FUNCTION app.market_watched(p_limit integer) RETURNS TABLE (tenant_id uuid, offer_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT o.tenant_id, o.id FROM public.market_offers o
   WHERE o.state IN ('PUBLISHED', 'SUSPENDED') OR EXISTS (
     SELECT FROM public.market_agreements a WHERE a.tenant_id = o.tenant_id AND a.offer_id = o.id
        AND a.state IN ('AGREED', 'VERIFIED', 'FINALIZED') AND a.expires_at > clock_timestamp())
   ORDER BY o.updated_at DESC LIMIT p_limit
$$;
COMMENT ON FUNCTION app.market_watched(integer) IS 'Offers whose contributors somebody relies on.';
"""


def upgrade() -> None:
    """Make the tables, then the functions that reach across tenants."""
    for script in (_OFFERS, _AGREEMENTS, _QUERIES, _SETTLEMENT, _BALANCE, _FUNCTIONS):
        run_script(script)
    only_jobs("app.market_watched(integer)")
    run_script("SELECT app.allow_reading()")
