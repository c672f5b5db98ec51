"""Tables of the web3 journal for chains: instances, signers, transactions, rewards and epochs.

Part of revision 0031, in a file of its own. Everything of a chain hangs on its instance, so that an embedded
chain that lost its data begins anew, with its own nonces and heights, while the old rows stay to be read.
"""

from __future__ import annotations

CHAIN_TABLES = """
CREATE TABLE web3.chain_instance (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  chain text NOT NULL CHECK (chain IN ('evm', 'solana')),
  genesis text NOT NULL,
  chain_id bigint NOT NULL DEFAULT 0,
  mode text NOT NULL,
  token text,
  deployed_height bigint,
  head_height bigint NOT NULL DEFAULT 0,
  head_hash text NOT NULL DEFAULT '',
  scanned_height bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  lost_at timestamptz
);
CREATE UNIQUE INDEX chain_instance_current ON web3.chain_instance (chain) WHERE lost_at IS NULL;
COMMENT ON TABLE web3.chain_instance IS 'Chains by their first block; one of each kind is current.';

CREATE TABLE web3.signer (
  instance_id bigint NOT NULL REFERENCES web3.chain_instance (id),
  address text NOT NULL,
  next_nonce bigint NOT NULL DEFAULT 0 CHECK (next_nonce >= 0),
  halted_reason text,
  PRIMARY KEY (instance_id, address)
);
COMMENT ON TABLE web3.signer IS 'Accounts that sign; the row is the lock under which a nonce is given out.';

CREATE TABLE web3.chain_tx (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  instance_id bigint NOT NULL REFERENCES web3.chain_instance (id),
  signer text NOT NULL,
  nonce bigint NOT NULL,
  attempt integer NOT NULL DEFAULT 0,
  kind text NOT NULL CHECK (kind IN ('DEPLOY', 'MINT', 'CANCEL', 'EPOCH', 'FILL', 'ADOPTED')),
  tx_hash text NOT NULL,
  raw bytea,
  fee jsonb NOT NULL DEFAULT '{}',
  replaces bigint REFERENCES web3.chain_tx (id),
  state text NOT NULL CHECK (state IN ('SIGNED', 'SENT', 'MINED', 'FINAL', 'REPLACED', 'DROPPED')),
  reverted boolean NOT NULL DEFAULT false,
  block_height bigint,
  block_hash text,
  last_valid_height bigint,
  signed_at timestamptz NOT NULL DEFAULT now(),
  sent_at timestamptz,
  finalized_at timestamptz,
  UNIQUE (instance_id, signer, nonce, attempt),
  UNIQUE (instance_id, tx_hash),
  CHECK (raw IS NOT NULL OR kind = 'ADOPTED')
);
CREATE INDEX chain_tx_open ON web3.chain_tx (instance_id, nonce) WHERE state IN ('SIGNED', 'SENT', 'MINED');
CREATE INDEX chain_tx_heights ON web3.chain_tx (instance_id, block_height) WHERE block_height IS NOT NULL;
COMMENT ON TABLE web3.chain_tx IS 'Signed transactions with their bytes, written before they are sent.';

CREATE TABLE web3.reward_tx (
  reward_id bytea PRIMARY KEY CHECK (length(reward_id) = 32),
  tenant_id uuid NOT NULL,
  chain text NOT NULL CHECK (chain IN ('evm', 'solana')),
  recipient text NOT NULL,
  amount_micro bigint NOT NULL CHECK (amount_micro BETWEEN 1 AND 1000000000),
  delivery text NOT NULL CHECK (delivery IN ('MINT', 'VOUCHER', 'EPOCH')),
  state text NOT NULL CHECK (state IN
    ('OWED', 'SIGNED', 'SENT', 'MINED', 'FINAL', 'CLAIMABLE', 'CLAIMED', 'CANCELLED', 'FAILED')),
  reason text,
  tx_id bigint REFERENCES web3.chain_tx (id),
  created_at timestamptz NOT NULL DEFAULT now(),
  finalized_at timestamptz,
  UNIQUE (tenant_id, reward_id)
);
CREATE INDEX reward_tx_open ON web3.reward_tx (chain, state, created_at)
  WHERE state IN ('OWED', 'SIGNED', 'SENT', 'MINED', 'CLAIMABLE');
CREATE INDEX reward_tx_of_tx ON web3.reward_tx (tx_id) WHERE tx_id IS NOT NULL;
COMMENT ON TABLE web3.reward_tx IS 'Rewards by id over all chains; recipient and amount never change.';

CREATE FUNCTION web3.keep_reward() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF (NEW.reward_id, NEW.tenant_id, NEW.chain, NEW.recipient, NEW.amount_micro)
     IS DISTINCT FROM (OLD.reward_id, OLD.tenant_id, OLD.chain, OLD.recipient, OLD.amount_micro) THEN
    RAISE EXCEPTION 'a reward keeps its id, tenant, chain, recipient and amount' USING ERRCODE = 'CL001';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER keep_reward BEFORE UPDATE ON web3.reward_tx
  FOR EACH ROW EXECUTE FUNCTION web3.keep_reward();

CREATE TABLE web3.epoch (
  instance_id bigint NOT NULL REFERENCES web3.chain_instance (id),
  epoch bigint NOT NULL CHECK (epoch >= 1),
  set_sha256 bytea NOT NULL,
  root bytea NOT NULL CHECK (length(root) = 32),
  total_micro numeric(30) NOT NULL,
  expires_at timestamptz NOT NULL,
  tx_id bigint NOT NULL REFERENCES web3.chain_tx (id),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (instance_id, epoch),
  UNIQUE (instance_id, set_sha256)
);
COMMENT ON TABLE web3.epoch IS 'Merkle roots that were published, by their number in the contract.';

CREATE TABLE web3.epoch_leaf (
  instance_id bigint NOT NULL,
  reward_id bytea NOT NULL REFERENCES web3.reward_tx (reward_id),
  epoch bigint NOT NULL,
  leaf bytea NOT NULL CHECK (length(leaf) = 32),
  PRIMARY KEY (instance_id, reward_id),
  FOREIGN KEY (instance_id, epoch) REFERENCES web3.epoch (instance_id, epoch)
);
CREATE INDEX epoch_leaf_of_epoch ON web3.epoch_leaf (instance_id, epoch);
COMMENT ON TABLE web3.epoch_leaf IS 'Rewards of an epoch with their leaves; proofs are computed from them.';
"""
