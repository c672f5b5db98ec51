"""Plans, entitlements, and the limits on customers and users."""

from __future__ import annotations

from cohortlens.migrations.counting import COUNTING, HANGING, REFUSALS, TRIGGERS
from cohortlens.migrations.ddl import run_script
from cohortlens.migrations.settling import FEED, SETTLING

revision = "0016_plans"
down_revision = "0015_roles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the catalogue, the projection and the counts; give every tenant its rows."""
    for script in (
        HANGING,
        _PLANS,
        _ENTITLEMENTS,
        SETTLING,
        FEED,
        REFUSALS,
        COUNTING,
        TRIGGERS,
        _BEGINNING,
    ):
        run_script(script)


_PLANS = """
CREATE TABLE plans (
  id text NOT NULL CHECK (id ~ '^[a-z][a-z0-9_-]{1,39}$'),
  version integer NOT NULL CHECK (version >= 1),
  rank integer NOT NULL CHECK (rank >= 0),
  display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 100),
  max_customers bigint NOT NULL CHECK (max_customers >= 0),
  max_api_calls_per_month bigint NOT NULL CHECK (max_api_calls_per_month >= 0),
  max_users integer CHECK (max_users >= 1),
  features text[] NOT NULL,
  read_per_second double precision NOT NULL CHECK (read_per_second > 0),
  write_per_second double precision NOT NULL CHECK (write_per_second > 0),
  inference_per_second double precision NOT NULL CHECK (inference_per_second > 0),
  bulk_in_flight integer NOT NULL CHECK (bulk_in_flight >= 1),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (id, version)
);
COMMENT ON TABLE plans IS
  'The catalogue; a version never changes, and the highest version of a name is the one on offer.';
COMMENT ON COLUMN plans.max_users IS 'Users and open invitations; NULL: any number.';

CREATE TABLE plan_prices (
  plan_id text NOT NULL,
  plan_version integer NOT NULL,
  interval text NOT NULL CHECK (interval IN ('month', 'year')),
  currency char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  livemode boolean NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
  stripe_price_id text UNIQUE CHECK (char_length(stripe_price_id) BETWEEN 1 AND 255),
  PRIMARY KEY (plan_id, plan_version, interval, currency, livemode),
  FOREIGN KEY (plan_id, plan_version) REFERENCES plans (id, version)
);
COMMENT ON COLUMN plan_prices.livemode IS 'Whether the price is of the mode in which money moves.';
COMMENT ON COLUMN plan_prices.stripe_price_id IS 'NULL until the catalogue is told to the payment provider.';
GRANT SELECT ON plans, plan_prices TO cl_app, cl_definer, cl_ro;
GRANT UPDATE (stripe_price_id) ON plan_prices TO cl_jobs;

CREATE VIEW current_plans AS
  SELECT DISTINCT ON (id) * FROM plans ORDER BY id, version DESC;
GRANT SELECT ON current_plans TO cl_app, cl_definer, cl_ro;

INSERT INTO plans (id, version, rank, display_name, max_customers, max_api_calls_per_month, max_users,
                   features, read_per_second, write_per_second, inference_per_second, bulk_in_flight) VALUES
  ('basic', 1, 10, 'Basic', 1000, 10000, 2,
   '{segmentation,prediction,explain.shap,consent,reports.html}', 5, 2, 5, 1),
  ('professional', 1, 20, 'Professional', 25000, 250000, 10,
   '{segmentation,prediction,explain.shap,consent,reports.html,explain.lime,drift,reports.pdf,'
   'reports.schedule,assistant}', 20, 10, 30, 2),
  ('enterprise', 1, 30, 'Enterprise', 1000000, 10000000, NULL,
   '{segmentation,prediction,explain.shap,consent,reports.html,explain.lime,drift,reports.pdf,'
   'reports.schedule,assistant,retraining,marketplace,web3,audit.export}', 100, 50, 150, 4);
INSERT INTO plan_prices (plan_id, plan_version, interval, currency, livemode, amount_minor)
SELECT p.plan, 1, i.interval, c.currency, l.livemode,
       CASE i.interval WHEN 'year' THEN 10 ELSE 1 END * p.monthly
  FROM (VALUES ('basic', 0), ('professional', 4900), ('enterprise', 49900)) AS p (plan, monthly),
       (VALUES ('month'), ('year')) AS i (interval), (VALUES ('EUR'), ('USD')) AS c (currency),
       (VALUES (false), (true)) AS l (livemode);
"""

_ENTITLEMENTS = """
CREATE TABLE entitlements (
  tenant_id uuid PRIMARY KEY REFERENCES tenants (id),
  base_plan text NOT NULL,
  base_version integer NOT NULL,
  base_access text NOT NULL DEFAULT 'FULL' CHECK (base_access IN ('FULL', 'READ_ONLY', 'NONE')),
  anchor timestamptz,
  override jsonb CHECK (jsonb_typeof(override) = 'object' AND octet_length(override::text) <= 8192),
  override_expires_at timestamptz,
  plan_id text NOT NULL,
  plan_version integer NOT NULL,
  plan_rank integer NOT NULL,
  access text NOT NULL DEFAULT 'FULL' CHECK (access IN ('FULL', 'READ_ONLY', 'NONE')),
  features text[] NOT NULL,
  max_customers bigint NOT NULL CHECK (max_customers >= 0),
  max_api_calls_per_month bigint NOT NULL CHECK (max_api_calls_per_month >= 0),
  max_users integer CHECK (max_users >= 0),
  read_per_second double precision NOT NULL CHECK (read_per_second > 0),
  write_per_second double precision NOT NULL CHECK (write_per_second > 0),
  inference_per_second double precision NOT NULL CHECK (inference_per_second > 0),
  bulk_in_flight integer NOT NULL CHECK (bulk_in_flight >= 1),
  over_limit_since timestamptz,
  near_told_at timestamptz,
  told_version bigint NOT NULL DEFAULT 0,
  version bigint NOT NULL DEFAULT 1,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  FOREIGN KEY (base_plan, base_version) REFERENCES plans (id, version),
  FOREIGN KEY (plan_id, plan_version) REFERENCES plans (id, version)
);
COMMENT ON TABLE entitlements IS
  'What each tenant may do: the plan of its subscription and what was granted beside it; all slices read it.';
COMMENT ON COLUMN entitlements.base_plan IS
  'What the subscription gives; the columns from plan_id on follow it.';
COMMENT ON COLUMN entitlements.anchor IS
  'Begin of the subscription; NULL: periods are calendar months in UTC.';
COMMENT ON COLUMN entitlements.override IS
  'What the operator granted: plan, plan_version, limits, features, reason; NULL: nothing.';
COMMENT ON COLUMN entitlements.over_limit_since IS 'Since when more is stored than the limits allow.';
COMMENT ON COLUMN entitlements.xid IS 'Transaction of the last change; processes read what is new by it.';
CREATE INDEX entitlements_by_xid ON entitlements (xid);
CREATE INDEX entitlements_lapsing ON entitlements (override_expires_at) WHERE override_expires_at IS NOT NULL;
SELECT app.protect('entitlements');
REVOKE INSERT, UPDATE, DELETE ON entitlements FROM cl_app;
SELECT app.allow_definer('entitlements', 'SELECT, INSERT, UPDATE');

CREATE TABLE tenant_usage (
  tenant_id uuid PRIMARY KEY REFERENCES tenants (id),
  customers bigint NOT NULL DEFAULT 0 CHECK (customers >= 0),
  users integer NOT NULL DEFAULT 0 CHECK (users >= 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE tenant_usage IS 'How many customers and users each tenant has; kept by triggers alone.';
COMMENT ON COLUMN tenant_usage.users IS 'Members and invitations that were open at the last change.';
SELECT app.protect('tenant_usage');
REVOKE INSERT, UPDATE, DELETE ON tenant_usage FROM cl_app;
SELECT app.allow_definer('tenant_usage', 'SELECT, INSERT, UPDATE');

CREATE UNLOGGED TABLE tenant_usage_open (
  tenant_id uuid NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY (CACHE 100),
  customers bigint NOT NULL DEFAULT 0,
  users integer NOT NULL DEFAULT 0,
  of_users boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE tenant_usage_open IS
  'What open transactions added and removed; each takes its rows away at its commit, so it looks empty.';
SELECT app.protect('tenant_usage_open');
REVOKE ALL ON tenant_usage_open FROM cl_app;
SELECT app.allow_definer('tenant_usage_open', 'SELECT, INSERT, DELETE');
SELECT app.allow_definer('customers', 'SELECT');
ALTER TABLE imports ADD COLUMN customers_over bigint NOT NULL DEFAULT 0 CHECK (customers_over >= 0);
COMMENT ON COLUMN imports.customers_over IS
  'New customers that the plan has no room for; a dry run tells them before anything is written.';
GRANT INSERT ON outbox TO cl_definer;
GRANT EXECUTE ON FUNCTION app.uuid7() TO cl_definer;

CREATE FUNCTION app.billing_period(p_anchor timestamptz, p_at timestamptz)
RETURNS TABLE (period_start timestamptz, period_end timestamptz)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog AS $$
  -- Each begin is counted from the anchor: one of the 31st begins on the 31st again after February.
  SELECT (d.anchor + make_interval(months => k.months)) AT TIME ZONE 'UTC',
         (d.anchor + make_interval(months => k.months + 1)) AT TIME ZONE 'UTC'
    FROM (SELECT coalesce(p_anchor AT TIME ZONE 'UTC', timestamp '2000-01-01') AS anchor,
                 p_at AT TIME ZONE 'UTC' AS at) d,
         LATERAL (SELECT ((extract(year FROM d.at) - extract(year FROM d.anchor)) * 12
                          + extract(month FROM d.at) - extract(month FROM d.anchor))::integer AS months) m,
         LATERAL (SELECT CASE WHEN d.anchor + make_interval(months => m.months) > d.at
                              THEN m.months - 1 ELSE m.months END AS months) k
$$;
COMMENT ON FUNCTION app.billing_period(timestamptz, timestamptz) IS
  'The month of a subscription, or without one the calendar month in UTC, that holds a time.';
GRANT EXECUTE ON FUNCTION app.billing_period(timestamptz, timestamptz) TO cl_app, cl_definer;
"""

_BEGINNING = """
CREATE FUNCTION app.entitlement_begin(p_tenant uuid, p_plan text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  INSERT INTO public.tenant_usage (tenant_id) VALUES (p_tenant) ON CONFLICT DO NOTHING;
  INSERT INTO public.entitlements (
      tenant_id, base_plan, base_version, plan_id, plan_version, plan_rank, features, max_customers,
      max_api_calls_per_month, max_users, read_per_second, write_per_second, inference_per_second,
      bulk_in_flight)
    SELECT p_tenant, id, version, id, version, rank, features, max_customers, max_api_calls_per_month,
           max_users, read_per_second, write_per_second, inference_per_second, bulk_in_flight
      FROM public.current_plans WHERE id = p_plan
  ON CONFLICT DO NOTHING
$$;
CREATE FUNCTION app.note_tenant() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM app.entitlement_begin(NEW.id, CASE NEW.kind WHEN 'PLATFORM' THEN 'enterprise' ELSE 'basic' END);
  RETURN NULL;
END $$;
CREATE TRIGGER tenant_begins AFTER INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION app.note_tenant();

SELECT app.define(oid::regprocedure) FROM pg_proc
 WHERE pronamespace = 'app'::regnamespace AND prosecdef AND proname IN (
   'entitlement_settle', 'entitlement_project', 'entitlement_override', 'entitlements_settle_due',
   'entitlement_note', 'entitlement_rows', 'tenant_standing', 'usage_differences', 'limits_of',
   'refuse_customers', 'refuse_users', 'note_customers', 'note_members', 'note_invitations', 'count_usage',
   'entitlement_begin', 'note_tenant');

SET LOCAL ROLE cl_definer;
-- What only jobs and the operator do, and what only triggers call.
REVOKE EXECUTE ON FUNCTION app.entitlement_project(uuid, text, integer, text, timestamptz),
  app.entitlements_settle_due(), app.entitlement_note(uuid, bigint), app.usage_differences() FROM cl_app;
GRANT EXECUTE ON FUNCTION app.entitlement_project(uuid, text, integer, text, timestamptz),
  app.entitlements_settle_due(), app.entitlement_note(uuid, bigint), app.usage_differences() TO cl_jobs;
REVOKE EXECUTE ON FUNCTION app.entitlement_begin(uuid, text), app.refuse_customers(uuid, bigint, bigint),
  app.refuse_users(uuid, integer, integer) FROM cl_app;

-- Tenants from before there were plans: each gets the smallest plan that holds what it has stored, so that
-- nothing which worked stops working.
SELECT app.entitlement_begin(id, CASE kind WHEN 'PLATFORM' THEN 'enterprise' ELSE 'basic' END)
  FROM public.tenants;
UPDATE public.tenant_usage u SET
  customers = (SELECT count(*) FROM public.customers c WHERE c.tenant_id = u.tenant_id),
  users = (SELECT count(*) FROM public.tenant_users m WHERE m.tenant_id = u.tenant_id)
        + (SELECT count(*) FROM public.invitations i
            WHERE i.tenant_id = u.tenant_id AND i.expires_at > clock_timestamp());
UPDATE public.entitlements e SET override = jsonb_build_object(
    'plan', fitting.id, 'plan_version', fitting.version, 'reason', 'more was stored before there were plans')
  FROM (SELECT u.tenant_id, p.id, p.version FROM public.tenant_usage u CROSS JOIN LATERAL (
          SELECT c.id, c.version FROM public.current_plans c
           ORDER BY u.customers > c.max_customers OR coalesce(u.users > c.max_users, false), c.rank LIMIT 1) p
       ) AS fitting
 WHERE fitting.tenant_id = e.tenant_id AND fitting.id <> e.base_plan;
SELECT app.entitlement_settle(tenant_id, false) FROM public.entitlements WHERE override IS NOT NULL;
RESET ROLE;
SELECT app.allow_reading();
"""
