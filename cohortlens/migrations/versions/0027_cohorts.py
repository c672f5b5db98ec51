"""What cohorts are read from: the orders of each customer packed into one value."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0027_cohorts"
down_revision = "0026_registry"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE order_histories (
  tenant_id uuid NOT NULL,
  customer_id uuid NOT NULL,
  orders bytea STORAGE EXTERNAL NOT NULL CHECK (octet_length(orders) > 0 AND octet_length(orders) % 16 = 0),
  first_sku text,
  PRIMARY KEY (tenant_id, customer_id),
  FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE order_histories IS
  'The orders of a customer in one value: all of a tenant are read many times faster than from transactions.';
COMMENT ON COLUMN order_histories.orders IS
  '16 bytes an order, by time: timestamptz_send of its first line, int8send of its total in minor units.';
COMMENT ON COLUMN order_histories.first_sku IS
  'Item bought first; of several at one moment the one with the largest amount.';
SELECT app.protect('order_histories');

ALTER TABLE customer_data ADD COLUMN last_order_at timestamptz, ADD COLUMN orders bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN customer_data.last_order_at IS 'Time of the last transaction, whatever its kind.';
COMMENT ON COLUMN customer_data.orders IS 'Orders in order_histories at the last import.';
SELECT app.allow_reading();
"""

# The owner is held to row-level security too; for what is stored already it has to see all tenants.
_STORED = """
ALTER TABLE transactions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE order_histories NO FORCE ROW LEVEL SECURITY;
ALTER TABLE customer_data NO FORCE ROW LEVEL SECURITY;

INSERT INTO order_histories (tenant_id, customer_id, orders, first_sku)
SELECT h.tenant_id, h.customer_id, h.orders, s.sku FROM (
  SELECT tenant_id, customer_id,
         string_agg(timestamptz_send(at) || int8send(amount), ''::bytea ORDER BY at, amount) AS orders
    FROM (SELECT tenant_id, customer_id, min(occurred_at) AS at, sum(amount_minor)::bigint AS amount
            FROM transactions
           GROUP BY tenant_id, customer_id, order_ref, CASE WHEN order_ref IS NULL THEN source_key END) o
   GROUP BY tenant_id, customer_id) h
  LEFT JOIN (
    SELECT DISTINCT ON (tenant_id, customer_id) tenant_id, customer_id, sku FROM transactions
     WHERE sku IS NOT NULL AND amount_minor > 0
     ORDER BY tenant_id, customer_id, occurred_at, amount_minor DESC, sku) s USING (tenant_id, customer_id);
UPDATE customer_data d SET orders = h.orders
  FROM (SELECT tenant_id, sum(octet_length(orders) >> 4) AS orders FROM order_histories GROUP BY tenant_id) h
 WHERE h.tenant_id = d.tenant_id;
UPDATE customer_data d SET last_order_at = t.last
  FROM (SELECT tenant_id, max(occurred_at) AS last FROM transactions GROUP BY tenant_id) t
 WHERE t.tenant_id = d.tenant_id;

ALTER TABLE customer_data FORCE ROW LEVEL SECURITY;
ALTER TABLE order_histories FORCE ROW LEVEL SECURITY;
ALTER TABLE transactions FORCE ROW LEVEL SECURITY;
"""


def upgrade() -> None:
    """Make the table, and fill it for the tenants there are."""
    run_script(_TABLE)
    run_script(_STORED)
