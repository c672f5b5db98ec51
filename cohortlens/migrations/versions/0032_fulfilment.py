"""Credentials, rewards and pins that consents led to."""

from __future__ import annotations

from cohortlens.migrations.ddl import only_jobs, run_script

revision = "0032_fulfilment"
down_revision = "0031_web3_journal"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, then the functions that reach across tenants."""
    for script in (_CREDENTIALS, _WALLETS, _REWARDS, _PINS, _FUNCTIONS):
        run_script(script)
    only_jobs(
        "app.rewards_due(integer, double precision)",
        "app.fulfilments_astray(integer)",
        "app.rewards_held(integer)",
        "app.epochs_due(integer)",
    )
    run_script("SELECT app.allow_reading()")


_CREDENTIALS = """
CREATE TABLE verifiable_credentials (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  id uuid NOT NULL,
  event_id uuid NOT NULL,
  source_id uuid NOT NULL,
  identity_id uuid NOT NULL,
  purpose_key text NOT NULL,
  issuer_did text NOT NULL,
  suite text NOT NULL,
  status_list_id uuid NOT NULL,
  status_index integer NOT NULL CHECK (status_index >= 0),
  credential_json bytea,
  sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
  valid_from timestamptz NOT NULL,
  valid_until timestamptz NOT NULL,
  issued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  revoked_at timestamptz,
  revoke_reason text,
  CHECK ((revoked_at IS NULL) = (revoke_reason IS NULL)),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, source_id),
  FOREIGN KEY (tenant_id, identity_id) REFERENCES consent_identities (tenant_id, id)
);
COMMENT ON COLUMN verifiable_credentials.credential_json IS 'The signed bytes; NULL after an erasure.';
CREATE UNIQUE INDEX verifiable_credentials_one_valid ON verifiable_credentials (tenant_id, event_id)
  WHERE revoked_at IS NULL;
CREATE INDEX verifiable_credentials_by_identity ON verifiable_credentials (tenant_id, identity_id, id);
SELECT app.protect('verifiable_credentials');
SELECT app.allow_definer('verifiable_credentials', 'SELECT');

ALTER TABLE user_consents ADD CONSTRAINT user_consents_credential
  FOREIGN KEY (tenant_id, verifiable_credential_id) REFERENCES verifiable_credentials (tenant_id, id);

CREATE TABLE consent_fulfilments (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  event_id uuid NOT NULL,
  identity_id uuid NOT NULL,
  purpose_key text NOT NULL,
  secret_enc bytea,
  credential_state text NOT NULL DEFAULT 'PENDING'
    CHECK (credential_state IN ('PENDING', 'ISSUING', 'ISSUED', 'REVOKED', 'SKIPPED', 'FAILED', 'DEAD')),
  credential_id uuid,
  issues integer NOT NULL DEFAULT 0,
  reward_state text NOT NULL DEFAULT 'PENDING' CHECK (reward_state IN (
    'PENDING', 'SKIPPED', 'HELD', 'OWED', 'SIGNED', 'SENT', 'MINED', 'FINAL', 'CLAIMABLE', 'CLAIMED',
    'CANCELLED', 'FAILED', 'DEAD')),
  reward_id bytea,
  pin_state text NOT NULL DEFAULT 'PENDING'
    CHECK (pin_state IN ('PENDING', 'PINNED', 'SKIPPED', 'FAILED', 'DEAD')),
  pin_wanted integer NOT NULL DEFAULT 0,
  attempts integer NOT NULL DEFAULT 0,
  last_reason text NOT NULL DEFAULT '',
  ended_at timestamptz,
  end_reason text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK ((ended_at IS NULL) = (end_reason IS NULL)),
  PRIMARY KEY (tenant_id, event_id),
  FOREIGN KEY (tenant_id, identity_id) REFERENCES consent_identities (tenant_id, id),
  FOREIGN KEY (tenant_id, credential_id) REFERENCES verifiable_credentials (tenant_id, id)
);
COMMENT ON COLUMN consent_fulfilments.secret_enc IS
  'What the salts of all its commitments are made from; NULL after an erasure: none can be opened any more.';
CREATE INDEX consent_fulfilments_by_identity ON consent_fulfilments (tenant_id, identity_id, purpose_key);
CREATE INDEX consent_fulfilments_open ON consent_fulfilments (tenant_id, event_id) WHERE ended_at IS NULL;
SELECT app.protect('consent_fulfilments');
SELECT app.allow_definer('consent_fulfilments', 'SELECT');
"""

_WALLETS = """
CREATE TABLE wallets (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  id uuid NOT NULL,
  identity_id uuid NOT NULL,
  chain text NOT NULL CHECK (chain IN ('evm', 'solana')),
  address text NOT NULL CHECK (char_length(address) BETWEEN 32 AND 64),
  bound_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  released_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, identity_id) REFERENCES consent_identities (tenant_id, id)
);
CREATE UNIQUE INDEX wallets_one_of_identity ON wallets (tenant_id, identity_id, chain)
  WHERE released_at IS NULL;
CREATE UNIQUE INDEX wallets_one_of_address ON wallets (tenant_id, chain, address) WHERE released_at IS NULL;
SELECT app.protect('wallets');

CREATE TABLE wallet_challenges (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  id uuid NOT NULL,
  identity_id uuid NOT NULL,
  chain text NOT NULL CHECK (chain IN ('evm', 'solana')),
  address text NOT NULL,
  message text NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, identity_id) REFERENCES consent_identities (tenant_id, id)
);
CREATE INDEX wallet_challenges_by_identity ON wallet_challenges (tenant_id, identity_id, expires_at);
SELECT app.protect('wallet_challenges');
"""

_REWARDS = """
CREATE TABLE reward_settings (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  is_enabled boolean NOT NULL DEFAULT false,
  terms_version text,
  terms_at timestamptz,
  delivery text NOT NULL DEFAULT 'MINT' CHECK (delivery IN ('MINT', 'VOUCHER', 'EPOCH')),
  monthly_budget_micro bigint NOT NULL DEFAULT 100000000000 CHECK (monthly_budget_micro >= 0),
  version bigint NOT NULL DEFAULT 1,
  CHECK (NOT is_enabled OR (terms_version IS NOT NULL AND terms_at IS NOT NULL)),
  PRIMARY KEY (tenant_id)
);
COMMENT ON TABLE reward_settings IS
  'Tokens for consent: off until an administrator says what stays on a public chain is understood.';
SELECT app.protect('reward_settings');

CREATE TABLE reward_tariffs (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  purpose_key text NOT NULL,
  amount_micro bigint NOT NULL CHECK (amount_micro BETWEEN 0 AND 1000000000),
  chain text NOT NULL DEFAULT '' CHECK (chain IN ('', 'evm', 'solana')),
  PRIMARY KEY (tenant_id, purpose_key)
);
COMMENT ON TABLE reward_tariffs IS 'What differs from the tariff of the product.';
SELECT app.protect('reward_tariffs');

CREATE TABLE reward_budgets (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  month date NOT NULL CHECK (extract(day FROM month) = 1),
  reserved_micro bigint NOT NULL DEFAULT 0 CHECK (reserved_micro >= 0),
  PRIMARY KEY (tenant_id, month)
);
SELECT app.protect('reward_budgets');

CREATE TABLE rewards (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  reward_id bytea NOT NULL CHECK (octet_length(reward_id) = 32),
  kind smallint NOT NULL CHECK (kind IN (1, 2)),
  source_id uuid NOT NULL,
  identity_id uuid,
  purpose_key text NOT NULL DEFAULT '',
  preferred_chain text NOT NULL CHECK (preferred_chain IN ('', 'evm', 'solana')),
  amount_micro bigint NOT NULL CHECK (amount_micro BETWEEN 1 AND 1000000000),
  delivery text NOT NULL CHECK (delivery IN ('MINT', 'VOUCHER', 'EPOCH')),
  wallet_id uuid,
  chain text CHECK (chain IN ('evm', 'solana')),
  recipient text,
  budget_month date,
  state text NOT NULL CHECK (state IN (
    'HELD', 'OWED', 'SIGNED', 'SENT', 'MINED', 'FINAL', 'CLAIMABLE', 'CLAIMED', 'CANCELLED', 'FAILED')),
  reason text NOT NULL DEFAULT '',
  tx_ref text NOT NULL DEFAULT '',
  block_height bigint NOT NULL DEFAULT 0,
  finalized_at timestamptz,
  handed_at timestamptz,
  epoch_set uuid,
  epoch bigint,
  polls integer NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK ((chain IS NULL) = (recipient IS NULL)),
  CHECK (state IN ('HELD', 'CANCELLED') OR (chain IS NOT NULL AND budget_month IS NOT NULL)),
  PRIMARY KEY (tenant_id, reward_id),
  UNIQUE (tenant_id, kind, source_id),
  FOREIGN KEY (tenant_id, identity_id) REFERENCES consent_identities (tenant_id, id),
  FOREIGN KEY (tenant_id, wallet_id) REFERENCES wallets (tenant_id, id)
);
CREATE INDEX rewards_by_identity ON rewards (tenant_id, identity_id, purpose_key, created_at)
  WHERE identity_id IS NOT NULL;
CREATE INDEX rewards_newest ON rewards (tenant_id, created_at DESC, reward_id);
CREATE INDEX rewards_held ON rewards (updated_at) WHERE state = 'HELD';
CREATE INDEX rewards_moving ON rewards (next_at)
  WHERE handed_at IS NOT NULL AND state IN ('OWED', 'SIGNED', 'SENT', 'MINED', 'CLAIMABLE');
CREATE INDEX rewards_of_epoch_set ON rewards (tenant_id, epoch_set) WHERE epoch_set IS NOT NULL;
CREATE INDEX rewards_without_epoch ON rewards (tenant_id, chain)
  WHERE state = 'CLAIMABLE' AND delivery = 'EPOCH' AND epoch IS NULL;
COMMENT ON COLUMN rewards.epoch_set IS
  'What is published together; stored before it is, since a set has one epoch.';
SELECT app.protect('rewards');
REVOKE DELETE ON rewards FROM cl_app;
SELECT app.allow_definer('rewards', 'SELECT, UPDATE');

CREATE FUNCTION app.reward_keeps() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NEW.amount_micro <> OLD.amount_micro OR NEW.kind <> OLD.kind OR NEW.source_id <> OLD.source_id
     OR (OLD.chain IS NOT NULL AND NEW.chain IS DISTINCT FROM OLD.chain)
     OR (OLD.recipient IS NOT NULL AND NEW.recipient IS DISTINCT FROM OLD.recipient) THEN
    RAISE EXCEPTION 'chain, recipient and amount of a reward never change' USING ERRCODE = '23514';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER reward_keeps BEFORE UPDATE ON rewards FOR EACH ROW EXECUTE FUNCTION app.reward_keeps();
"""

_PINS = """
CREATE TABLE receipt_pins (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  event_id uuid NOT NULL,
  revision integer NOT NULL CHECK (revision > 0),
  pin_id uuid NOT NULL,
  body bytea NOT NULL,
  signed_json bytea,
  cid text,
  superseded_by text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  pinned_at timestamptz,
  unpinned_at timestamptz,
  CHECK ((cid IS NULL) = (pinned_at IS NULL)),
  PRIMARY KEY (tenant_id, event_id, revision),
  FOREIGN KEY (tenant_id, event_id) REFERENCES consent_fulfilments (tenant_id, event_id)
);
COMMENT ON COLUMN receipt_pins.body IS 'What is signed and pinned: commitments, nothing personal.';
CREATE UNIQUE INDEX receipt_pins_one_current ON receipt_pins (tenant_id, event_id)
  WHERE cid IS NOT NULL AND superseded_by IS NULL AND unpinned_at IS NULL;
CREATE INDEX receipt_pins_by_cid ON receipt_pins (cid) WHERE cid IS NOT NULL;
SELECT app.protect('receipt_pins');
SELECT app.allow_definer('receipt_pins', 'SELECT');
"""

_FUNCTIONS = """
CREATE FUNCTION app.rewards_due(p_limit integer, p_lease_s double precision)
RETURNS TABLE (tenant_id uuid, reward_id bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH due AS (
    SELECT r.tenant_id, r.reward_id FROM public.rewards r
     WHERE r.handed_at IS NOT NULL AND r.state IN ('OWED', 'SIGNED', 'SENT', 'MINED', 'CLAIMABLE')
       AND r.next_at <= clock_timestamp()
     ORDER BY r.next_at LIMIT p_limit FOR UPDATE OF r SKIP LOCKED)
  UPDATE public.rewards r SET next_at = clock_timestamp() + make_interval(secs => p_lease_s)
    FROM due WHERE r.tenant_id = due.tenant_id AND r.reward_id = due.reward_id
  RETURNING r.tenant_id, r.reward_id;
END $$;
COMMENT ON FUNCTION app.rewards_due(integer, double precision) IS
  'Rewards whose state is to be asked for, kept from other askers for so many seconds.';

SELECT app.allow_definer('user_consents', 'SELECT')
 WHERE NOT has_table_privilege('cl_definer', 'user_consents', 'SELECT');

CREATE FUNCTION app.fulfilments_astray(p_limit integer)
RETURNS TABLE (tenant_id uuid, identity_id uuid, purpose_key text, unrevoked boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT f.tenant_id, f.identity_id, f.purpose_key, f.credential_state = 'ISSUED'
    FROM public.consent_fulfilments f
    LEFT JOIN public.user_consents u ON u.tenant_id = f.tenant_id AND u.identity_id = f.identity_id
         AND u.purpose_key = f.purpose_key AND u.event_id = f.event_id AND u.state = 'GIVEN'
   WHERE f.ended_at IS NULL AND u.event_id IS NULL
   LIMIT p_limit
$$;
COMMENT ON FUNCTION app.fulfilments_astray(integer) IS
  'Fulfilments that go on although the consent they are of has ended.';

CREATE FUNCTION app.rewards_held(p_limit integer) RETURNS TABLE (tenant_id uuid, identity_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT DISTINCT r.tenant_id, r.identity_id FROM public.rewards r
   WHERE r.state = 'HELD' AND r.reason = 'REWARD_BUDGET_EXCEEDED' AND r.identity_id IS NOT NULL
     AND r.updated_at < clock_timestamp() - interval '1 hour'
   LIMIT p_limit
$$;
CREATE FUNCTION app.epochs_due(p_limit integer) RETURNS TABLE (tenant_id uuid, chain text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT DISTINCT r.tenant_id, r.chain FROM public.rewards r
   WHERE r.state = 'CLAIMABLE' AND r.delivery = 'EPOCH' AND r.epoch IS NULL LIMIT p_limit
$$;
COMMENT ON FUNCTION app.epochs_due(integer) IS 'Tenants with rewards that wait for an epoch.';
COMMENT ON FUNCTION app.rewards_held(integer) IS 'People whose rewards wait for a month with budget left.';

CREATE FUNCTION app.receipt_pin_standing(p_cid text)
RETURNS TABLE (superseded_by text, is_withdrawn boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT p.superseded_by, f.ended_at IS NOT NULL
    FROM public.receipt_pins p
    JOIN public.consent_fulfilments f ON f.tenant_id = p.tenant_id AND f.event_id = p.event_id
   WHERE p.cid = p_cid LIMIT 1
$$;
COMMENT ON FUNCTION app.receipt_pin_standing(text) IS
  'What a stranger who has a pin may learn: whether a newer one took its place.';
SELECT app.define('app.receipt_pin_standing(text)');
"""
