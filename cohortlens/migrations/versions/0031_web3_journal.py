"""The schema of the web3 sidecar: keys, status lists, transactions, pins."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0031_web3_journal"
down_revision = "0030_data_requests"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the schema of the sidecar and give it to its role, which has no rights anywhere else."""
    for script in (_SCHEMA, _OPERATIONS, _CREDENTIALS, _CHAINS, _REWARDS, _PINS):
        run_script(script)


# The sidecar's own work (sending, publishing, pinning) concerns all tenants: such a transaction says so by
# ``web3.every``; whatever a caller asks for is bound to its tenant.
_SCHEMA = """
DO $$ BEGIN
  IF to_regrole('cl_web3') IS NULL THEN
    RAISE EXCEPTION 'the role cl_web3 is missing'
      USING HINT = 'As a superuser run: CREATE ROLE cl_web3 LOGIN NOBYPASSRLS PASSWORD ''...''; '
                   'GRANT CONNECT ON DATABASE cohortlens TO cl_web3;';
  END IF;
END $$;
CREATE SCHEMA web3;
GRANT USAGE ON SCHEMA web3 TO cl_web3;
COMMENT ON SCHEMA web3 IS 'The journal of the web3 sidecar; cl_app and cl_jobs have no rights in it.';

CREATE FUNCTION web3.protect(target regclass) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', target);
  EXECUTE format('CREATE POLICY tenant ON %s USING (tenant_id = app.tid()) '
                 'WITH CHECK (tenant_id = app.tid())', target);
  EXECUTE format('CREATE POLICY every ON %s USING (current_setting(''web3.every'', true) = ''on'') '
                 'WITH CHECK (current_setting(''web3.every'', true) = ''on'')', target);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %s TO cl_web3', target);
END $$;
COMMENT ON FUNCTION web3.protect(regclass) IS
  'Separate the tenants of a table by its column tenant_id; the role of the sidecar reads and writes it.';
"""

_OPERATIONS = """
CREATE TABLE web3.operation (
  tenant_id uuid NOT NULL,
  operation_id uuid NOT NULL,
  request_sha256 bytea NOT NULL CHECK (octet_length(request_sha256) = 32),
  response bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, operation_id)
);
CREATE INDEX operation_by_age ON web3.operation (created_at);
SELECT web3.protect('web3.operation');
GRANT DELETE ON web3.operation TO cl_web3;
"""

_CREDENTIALS = """
CREATE TABLE web3.issuer (
  tenant_id uuid PRIMARY KEY,
  issuer_id uuid NOT NULL UNIQUE,
  sealed_pairwise bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
SELECT web3.protect('web3.issuer');

CREATE TABLE web3.issuer_key (
  tenant_id uuid NOT NULL,
  kid text NOT NULL,
  did text NOT NULL,
  public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
  sealed_private bytea NOT NULL,
  state text NOT NULL CHECK (state IN ('ACTIVE', 'RETIRED', 'COMPROMISED')),
  not_before timestamptz NOT NULL DEFAULT now(),
  not_after timestamptz,
  PRIMARY KEY (tenant_id, kid),
  CHECK ((state = 'ACTIVE') = (not_after IS NULL))
);
CREATE UNIQUE INDEX issuer_key_one_active ON web3.issuer_key (tenant_id) WHERE state = 'ACTIVE';
CREATE INDEX issuer_key_by_did ON web3.issuer_key (did);
SELECT web3.protect('web3.issuer_key');

CREATE TABLE web3.status_list (
  tenant_id uuid NOT NULL,
  list_id uuid NOT NULL UNIQUE,
  purpose text NOT NULL CHECK (purpose IN ('revocation', 'suspension')),
  issuer_did text NOT NULL,
  bits bytea NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  fill integer NOT NULL DEFAULT 0 CHECK (fill >= 0),
  is_open boolean NOT NULL DEFAULT true,
  published bytea,
  published_version bigint NOT NULL DEFAULT 0,
  published_at timestamptz,
  published_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, list_id)
);
CREATE UNIQUE INDEX status_list_one_open ON web3.status_list (tenant_id, purpose, issuer_did) WHERE is_open;
CREATE INDEX status_list_due ON web3.status_list (list_id) WHERE published_version < version;
SELECT web3.protect('web3.status_list');

CREATE TABLE web3.credential (
  tenant_id uuid NOT NULL,
  credential_id uuid NOT NULL,
  kind text NOT NULL,
  source_id uuid NOT NULL,
  kid text NOT NULL,
  suite text NOT NULL,
  document bytea,
  issued_at timestamptz NOT NULL,
  valid_until timestamptz,
  PRIMARY KEY (tenant_id, credential_id),
  FOREIGN KEY (tenant_id, kid) REFERENCES web3.issuer_key (tenant_id, kid)
);
CREATE INDEX credential_by_key ON web3.credential (tenant_id, kid);
CREATE INDEX credential_by_source ON web3.credential (tenant_id, source_id);
SELECT web3.protect('web3.credential');
GRANT DELETE ON web3.credential TO cl_web3;

CREATE TABLE web3.status_entry (
  tenant_id uuid NOT NULL,
  list_id uuid NOT NULL,
  status_index integer NOT NULL CHECK (status_index >= 0),
  credential_id uuid NOT NULL,
  purpose text NOT NULL,
  revoked_at timestamptz,
  reason_code text,
  PRIMARY KEY (tenant_id, list_id, status_index),
  UNIQUE (tenant_id, credential_id, purpose),
  FOREIGN KEY (tenant_id, list_id) REFERENCES web3.status_list (tenant_id, list_id)
);
SELECT web3.protect('web3.status_entry');
"""

_CHAINS = """
CREATE TABLE web3.chain_instance (
  chain text NOT NULL CHECK (chain IN ('evm', 'solana')),
  genesis text NOT NULL,
  chain_id numeric(20) NOT NULL DEFAULT 0,
  mode text NOT NULL,
  token text NOT NULL DEFAULT '',
  deployed_height bigint NOT NULL DEFAULT 0,
  head_height bigint NOT NULL DEFAULT 0,
  head_hash text NOT NULL DEFAULT '',
  scanned_height bigint NOT NULL DEFAULT 0,
  lost_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (chain, genesis)
);
CREATE UNIQUE INDEX chain_instance_one ON web3.chain_instance (chain) WHERE lost_at IS NULL;

CREATE TABLE web3.signer (
  chain text NOT NULL,
  genesis text NOT NULL,
  address text NOT NULL,
  next_nonce bigint NOT NULL DEFAULT 0 CHECK (next_nonce >= 0),
  halted_reason text,
  PRIMARY KEY (chain, genesis, address),
  FOREIGN KEY (chain, genesis) REFERENCES web3.chain_instance (chain, genesis)
);

CREATE TABLE web3.chain_tx (
  tx_id uuid PRIMARY KEY,
  chain text NOT NULL,
  genesis text NOT NULL,
  signer text NOT NULL,
  kind text NOT NULL,
  nonce bigint,
  attempt integer NOT NULL DEFAULT 1 CHECK (attempt >= 1),
  replaces uuid REFERENCES web3.chain_tx (tx_id),
  tx_hash text NOT NULL,
  raw bytea,
  max_fee numeric(78),
  priority_fee numeric(78),
  gas_limit bigint,
  state text NOT NULL CHECK (state IN ('SIGNED', 'SENT', 'MINED', 'FINAL', 'REPLACED', 'EXPIRED', 'FAILED')),
  reason text,
  block_height bigint,
  block_hash text,
  last_valid_height bigint,
  signed_at timestamptz NOT NULL DEFAULT now(),
  sent_at timestamptz,
  mined_at timestamptz,
  finalized_at timestamptz,
  UNIQUE (chain, genesis, signer, nonce, attempt),
  -- The same bytes can be sent again to an embedded chain that began anew.
  UNIQUE (chain, genesis, tx_hash),
  FOREIGN KEY (chain, genesis) REFERENCES web3.chain_instance (chain, genesis),
  -- What somebody else sent and settled a reward is adopted: its bytes and signer are not ours.
  CHECK (raw IS NOT NULL OR kind = 'ADOPTED')
);
CREATE INDEX chain_tx_open ON web3.chain_tx (chain, genesis, nonce)
  WHERE state IN ('SIGNED', 'SENT', 'MINED');
GRANT SELECT, INSERT, UPDATE ON web3.chain_instance, web3.signer, web3.chain_tx TO cl_web3;
"""

_REWARDS = """
CREATE TABLE web3.reward_tx (
  tenant_id uuid NOT NULL,
  reward_id bytea NOT NULL UNIQUE CHECK (octet_length(reward_id) = 32),
  chain text NOT NULL CHECK (chain IN ('evm', 'solana')),
  recipient text NOT NULL CHECK (recipient <> ''),
  amount_micro bigint NOT NULL CHECK (amount_micro BETWEEN 1 AND 1000000000),
  delivery text NOT NULL CHECK (delivery IN ('MINT', 'VOUCHER', 'EPOCH')),
  state text NOT NULL CHECK (state IN ('OWED', 'SIGNED', 'SENT', 'MINED', 'FINAL', 'CLAIMABLE', 'CLAIMED',
                                       'CANCELLED', 'FAILED')),
  tx_id uuid REFERENCES web3.chain_tx (tx_id),
  reason text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finalized_at timestamptz,
  PRIMARY KEY (tenant_id, reward_id)
);
CREATE INDEX reward_tx_owed ON web3.reward_tx (chain, created_at, reward_id) WHERE state = 'OWED';
CREATE INDEX reward_tx_open ON web3.reward_tx (chain, state)
  WHERE state IN ('SIGNED', 'SENT', 'MINED', 'CLAIMABLE');
CREATE INDEX reward_tx_by_tx ON web3.reward_tx (tx_id) WHERE tx_id IS NOT NULL;
SELECT web3.protect('web3.reward_tx');

CREATE FUNCTION web3.reward_frozen() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF (NEW.tenant_id, NEW.reward_id, NEW.chain, NEW.recipient, NEW.amount_micro)
     IS DISTINCT FROM (OLD.tenant_id, OLD.reward_id, OLD.chain, OLD.recipient, OLD.amount_micro) THEN
    RAISE EXCEPTION 'a reward keeps its chain, recipient and amount' USING ERRCODE = '23514';
  END IF;
  NEW.changed_at := clock_timestamp();
  RETURN NEW;
END $$;
CREATE TRIGGER reward_frozen BEFORE UPDATE ON web3.reward_tx
  FOR EACH ROW EXECUTE FUNCTION web3.reward_frozen();

CREATE TABLE web3.epoch (
  chain text NOT NULL,
  genesis text NOT NULL,
  epoch bigint NOT NULL CHECK (epoch >= 1),
  root bytea NOT NULL CHECK (octet_length(root) = 32),
  set_sha256 bytea NOT NULL CHECK (octet_length(set_sha256) = 32),
  total_micro numeric(20) NOT NULL CHECK (total_micro > 0),
  expires_at timestamptz NOT NULL,
  tx_id uuid REFERENCES web3.chain_tx (tx_id),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (chain, genesis, epoch),
  UNIQUE (chain, genesis, set_sha256),
  FOREIGN KEY (chain, genesis) REFERENCES web3.chain_instance (chain, genesis)
);
GRANT SELECT, INSERT, UPDATE ON web3.epoch TO cl_web3;

CREATE TABLE web3.epoch_leaf (
  tenant_id uuid NOT NULL,
  reward_id bytea NOT NULL,
  chain text NOT NULL,
  genesis text NOT NULL,
  epoch bigint NOT NULL,
  leaf bytea NOT NULL CHECK (octet_length(leaf) = 32),
  PRIMARY KEY (tenant_id, reward_id, chain, genesis),
  FOREIGN KEY (tenant_id, reward_id) REFERENCES web3.reward_tx (tenant_id, reward_id),
  FOREIGN KEY (chain, genesis, epoch) REFERENCES web3.epoch (chain, genesis, epoch)
);
CREATE INDEX epoch_leaf_by_epoch ON web3.epoch_leaf (chain, genesis, epoch);
SELECT web3.protect('web3.epoch_leaf');
"""

_PINS = """
CREATE TABLE web3.pin (
  tenant_id uuid NOT NULL,
  pin_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('RECEIPT', 'STATUS_LIST', 'OFFER_TERMS', 'REPORT', 'ARTIFACT')),
  cid text NOT NULL,
  content_sha256 bytea NOT NULL CHECK (octet_length(content_sha256) = 32),
  size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
  sealed_key bytea,
  created_at timestamptz NOT NULL DEFAULT now(),
  unpinned_at timestamptz,
  PRIMARY KEY (tenant_id, pin_id)
);
CREATE INDEX pin_by_cid ON web3.pin (cid) WHERE unpinned_at IS NULL;
SELECT web3.protect('web3.pin');

CREATE TABLE web3.pin_backend (
  tenant_id uuid NOT NULL,
  pin_id uuid NOT NULL,
  backend text NOT NULL,
  state text NOT NULL CHECK (state IN ('PENDING', 'PINNED', 'FAILED', 'REMOVING', 'REMOVED')),
  remote_id text,
  reason text,
  attempts integer NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL DEFAULT now(),
  changed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, pin_id, backend),
  FOREIGN KEY (tenant_id, pin_id) REFERENCES web3.pin (tenant_id, pin_id) ON DELETE CASCADE
);
CREATE INDEX pin_backend_due ON web3.pin_backend (next_at) WHERE state IN ('PENDING', 'REMOVING');
SELECT web3.protect('web3.pin_backend');
GRANT DELETE ON web3.pin, web3.pin_backend TO cl_web3;
"""
