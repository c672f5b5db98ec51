"""Customers, their transactions and purchase-days, imports with their faults, features as they stand."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0002_customers"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the tables of the customers slice, each separated by tenant."""
    for script in (_HELPERS, _CUSTOMERS, _TRANSACTIONS, _IMPORTS, _FEATURES):
        run_script(script)


_HELPERS = """
CREATE FUNCTION app.uuid7() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE SET search_path = pg_catalog AS $$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
           substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
           52, 1), 53, 1), 'hex')::uuid
$$;
COMMENT ON FUNCTION app.uuid7() IS 'A UUIDv7 (RFC 9562), for servers older than PostgreSQL 18 too.';
GRANT EXECUTE ON FUNCTION app.uuid7() TO cl_app;

-- COPY into a table with row-level security is refused, so an import goes through a temporary table.
DO $$ BEGIN
  IF NOT has_database_privilege('cl_app', current_database(), 'TEMPORARY') THEN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO cl_app', current_database());
  END IF;
  IF NOT has_database_privilege('cl_app', current_database(), 'TEMPORARY') THEN
    RAISE EXCEPTION 'cl_app may not make temporary tables: run GRANT TEMPORARY ON DATABASE % TO cl_app',
      current_database();
  END IF;
END $$;
"""

_CUSTOMERS = """
CREATE TABLE customers (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  external_id text COLLATE "C" NOT NULL CHECK (char_length(external_id) BETWEEN 1 AND 200),
  country text CHECK (char_length(country) <= 100),
  attributes jsonb NOT NULL DEFAULT '{}' CHECK (octet_length(attributes::text) <= 8192),
  first_seen_on date,
  last_seen_on date,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, external_id)
);
SELECT app.protect('customers');

CREATE TABLE customer_data (
  tenant_id uuid PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
  currency char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  as_of date NOT NULL,
  data_revision bigint NOT NULL CHECK (data_revision >= 1)
);
COMMENT ON TABLE customer_data IS 'What holds for all data of a tenant: currency, last day, revision.';
SELECT app.protect('customer_data');
"""

_TRANSACTIONS = """
CREATE TABLE imports (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  kind text NOT NULL DEFAULT 'TRANSACTIONS' CHECK (kind IN ('TRANSACTIONS')),
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED')),
  options jsonb NOT NULL,
  file_bytes bigint NOT NULL CHECK (file_bytes > 0),
  file_sha256 text NOT NULL CHECK (file_sha256 ~ '^[0-9a-f]{64}$'),
  progress_ratio double precision NOT NULL DEFAULT 0 CHECK (progress_ratio BETWEEN 0 AND 1),
  rows_read bigint NOT NULL DEFAULT 0,
  rows_accepted bigint NOT NULL DEFAULT 0,
  rows_rejected bigint NOT NULL DEFAULT 0,
  rows_duplicate bigint NOT NULL DEFAULT 0,
  new_customers bigint NOT NULL DEFAULT 0,
  columns_used jsonb NOT NULL DEFAULT '{}',
  columns_unused jsonb NOT NULL DEFAULT '[]',
  rejected_by_reason jsonb NOT NULL DEFAULT '{}',
  error_reason text NOT NULL DEFAULT '',
  error_message text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL,
  ended_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  CHECK ((state IN ('SUCCEEDED', 'FAILED')) = (ended_at IS NOT NULL)),
  CHECK ((state = 'FAILED') = (error_reason <> ''))
);
SELECT app.protect('imports');

CREATE TABLE transactions (
  tenant_id uuid NOT NULL,
  source_key bytea NOT NULL CHECK (octet_length(source_key) = 16),
  customer_id uuid NOT NULL,
  order_ref text CHECK (char_length(order_ref) <= 200),
  occurred_at timestamptz NOT NULL,
  known_at timestamptz NOT NULL,
  sku text CHECK (char_length(sku) <= 200),
  quantity numeric(18, 4),
  amount_minor bigint NOT NULL CHECK (amount_minor BETWEEN -10000000000000 AND 10000000000000),
  currency char(3) NOT NULL,
  kind text NOT NULL CHECK (kind IN ('SALE', 'RETURN', 'ADJUSTMENT')),
  import_id uuid NOT NULL,
  PRIMARY KEY (tenant_id, source_key),
  FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX transactions_by_customer ON transactions (tenant_id, customer_id, occurred_at);
CREATE INDEX transactions_by_time ON transactions USING brin (occurred_at);
COMMENT ON COLUMN transactions.import_id IS
  'Import that added the row; no foreign key, which would cost a fifth of the time of an import.';
COMMENT ON COLUMN transactions.source_key IS
  'First 16 bytes of SHA-256 over the normalised row and its ordinal among equal rows of its file.';
SELECT app.protect('transactions');

CREATE TABLE purchase_days (
  tenant_id uuid NOT NULL,
  customer_id uuid NOT NULL,
  day date NOT NULL,
  orders integer NOT NULL CHECK (orders >= 0),
  lines integer NOT NULL CHECK (lines >= 0),
  skus integer NOT NULL CHECK (skus >= 0),
  items double precision,
  amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
  returns_minor bigint NOT NULL CHECK (returns_minor >= 0),
  known_on date NOT NULL,
  PRIMARY KEY (tenant_id, customer_id, day),
  FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX purchase_days_by_day ON purchase_days (tenant_id, day);
COMMENT ON TABLE purchase_days IS 'One row per customer and UTC day; orders 0 only carries money returned.';
SELECT app.protect('purchase_days');
"""

_IMPORTS = """
CREATE TABLE import_faults (
  tenant_id uuid NOT NULL,
  import_id uuid NOT NULL,
  position integer NOT NULL CHECK (position BETWEEN 1 AND 1000),
  row_number bigint NOT NULL,
  line_number bigint NOT NULL,
  column_name text NOT NULL,
  reason text NOT NULL,
  preview text NOT NULL CHECK (char_length(preview) <= 80),
  PRIMARY KEY (tenant_id, import_id, position),
  FOREIGN KEY (tenant_id, import_id) REFERENCES imports (tenant_id, id) ON DELETE CASCADE
);
SELECT app.protect('import_faults');
"""

_FEATURES = """
CREATE TABLE customer_features (
  tenant_id uuid NOT NULL,
  customer_id uuid NOT NULL,
  as_of date NOT NULL,
  data_revision bigint NOT NULL,
  schema_hash text NOT NULL CHECK (schema_hash ~ '^[0-9a-f]{64}$'),
  vector bytea NOT NULL,
  PRIMARY KEY (tenant_id, customer_id),
  FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN customer_features.vector IS 'float32, little-endian, in the order of the feature schema.';
SELECT app.protect('customer_features');
"""
