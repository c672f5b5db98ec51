"""Checkouts under way, and usage told to the payment provider."""

from __future__ import annotations

from cohortlens.migrations.ddl import only_jobs, run_script

revision = "0020_subscriptions"
down_revision = "0019_payments"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the tables of checkouts and of exported usage, and what jobs do with them across tenants."""
    for script in (_INTENTS, _EXPORTS):
        run_script(script)
    only_jobs(
        "app.checkouts_tidy(integer, integer, integer)",
        "app.checkout_of_session(text)",
        "app.meter_exports_due(text, boolean, timestamptz, timestamptz, integer)",
        "app.meter_exports_tidy(integer, integer)",
    )
    run_script("SELECT app.allow_reading()")


_INTENTS = """
CREATE TABLE checkout_intents (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  id uuid NOT NULL,
  plan text NOT NULL,
  billing_interval text NOT NULL CHECK (billing_interval IN ('month', 'year')),
  livemode boolean NOT NULL,
  stripe_price_id text NOT NULL,
  trial_days integer NOT NULL DEFAULT 0 CHECK (trial_days BETWEEN 0 AND 730),
  success_url text NOT NULL,
  cancel_url text NOT NULL,
  state text NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'COMPLETED', 'EXPIRED')),
  stripe_session_id text,
  url text,
  expires_at timestamptz NOT NULL,
  worker uuid,
  working_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  closed_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  CHECK ((stripe_session_id IS NULL) = (url IS NULL)),
  CHECK ((state = 'OPEN') = (closed_at IS NULL)),
  CHECK ((worker IS NULL) = (working_until IS NULL))
);
COMMENT ON COLUMN checkout_intents.working_until IS
  'Until when one process speaks with the provider about this checkout; others wait, then take over.';
CREATE UNIQUE INDEX checkout_intents_one_open ON checkout_intents (tenant_id) WHERE state = 'OPEN';
CREATE UNIQUE INDEX checkout_intents_by_session ON checkout_intents (tenant_id, stripe_session_id);
CREATE INDEX checkout_intents_of_session ON checkout_intents (stripe_session_id);
CREATE INDEX checkout_intents_over ON checkout_intents (created_at) WHERE state = 'OPEN';
CREATE INDEX checkout_intents_closed ON checkout_intents (closed_at) WHERE closed_at IS NOT NULL;
SELECT app.protect('checkout_intents');
REVOKE DELETE ON checkout_intents FROM cl_app;
SELECT app.allow_definer('checkout_intents', 'SELECT, UPDATE, DELETE');

CREATE FUNCTION app.checkout_of_session(p_session text)
RETURNS TABLE (tenant_id uuid, id uuid, plan text, state text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT i.tenant_id, i.id, i.plan, i.state FROM public.checkout_intents i
   WHERE i.stripe_session_id = p_session
$$;
COMMENT ON FUNCTION app.checkout_of_session(text) IS 'The checkout that a session of the provider is of.';

CREATE FUNCTION app.checkouts_tidy(p_open_hours integer, p_kept_days integer, p_limit integer)
RETURNS TABLE (expired integer, dropped integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  -- The pages of these have ended at the provider: nobody can pay on them any more.
  WITH due AS (
    SELECT i.tenant_id, i.id FROM public.checkout_intents i
     WHERE i.state = 'OPEN' AND i.created_at < clock_timestamp() - make_interval(hours => p_open_hours)
       AND i.expires_at < clock_timestamp()
     ORDER BY i.created_at LIMIT p_limit FOR UPDATE SKIP LOCKED
  )
  UPDATE public.checkout_intents i
     SET state = 'EXPIRED', closed_at = clock_timestamp(), worker = NULL, working_until = NULL
    FROM due WHERE i.tenant_id = due.tenant_id AND i.id = due.id;
  GET DIAGNOSTICS expired = ROW_COUNT;
  WITH due AS (
    SELECT i.tenant_id, i.id FROM public.checkout_intents i
     WHERE i.closed_at < clock_timestamp() - make_interval(days => p_kept_days)
     ORDER BY i.closed_at LIMIT p_limit FOR UPDATE SKIP LOCKED
  )
  DELETE FROM public.checkout_intents i USING due WHERE i.tenant_id = due.tenant_id AND i.id = due.id;
  GET DIAGNOSTICS dropped = ROW_COUNT;
  RETURN NEXT;
END $$;
COMMENT ON FUNCTION app.checkouts_tidy(integer, integer, integer) IS
  'Expire open checkouts after so many hours, drop closed ones after so many days; up to a limit of each.';
"""

_EXPORTS = """
CREATE TABLE meter_exports (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  meter text NOT NULL,
  hour timestamptz NOT NULL,
  seq integer NOT NULL CHECK (seq >= 1),
  value bigint NOT NULL CHECK (value > 0),
  stripe_customer_id text NOT NULL,
  livemode boolean NOT NULL,
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'SENT', 'LAPSED')),
  first_tried_at timestamptz,
  sending_until timestamptz,
  ended_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, meter, hour, seq),
  CHECK ((state = 'PENDING') = (ended_at IS NULL))
);
COMMENT ON TABLE meter_exports IS
  'Usage that was told to the provider, or is to be: what is in here of an hour is not told again.';
COMMENT ON COLUMN meter_exports.seq IS 'More than 1 for what became known of an hour after it was told.';
COMMENT ON COLUMN meter_exports.first_tried_at IS
  'A day after it the provider no longer knows the identifier, so the event is not sent again.';
CREATE INDEX meter_exports_pending ON meter_exports (tenant_id, meter, hour, seq) WHERE state = 'PENDING';
CREATE INDEX meter_exports_ended ON meter_exports (ended_at) WHERE ended_at IS NOT NULL;
SELECT app.protect('meter_exports');
REVOKE INSERT, UPDATE, DELETE ON meter_exports FROM cl_app;
GRANT INSERT, UPDATE ON meter_exports TO cl_jobs;
SELECT app.allow_definer('meter_exports', 'SELECT, UPDATE, DELETE');

CREATE FUNCTION app.meter_exports_due(p_meter text, p_livemode boolean, p_since timestamptz,
                                      p_until timestamptz, p_limit integer)
RETURNS TABLE (tenant_id uuid, customer_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT p.tenant_id, p.stripe_customer_id FROM public.billing_profiles p
   WHERE p.livemode = p_livemode AND p.customer_deleted_at IS NULL
     AND (EXISTS (SELECT FROM public.meter_exports x
                   WHERE x.tenant_id = p.tenant_id AND x.meter = p_meter AND x.state = 'PENDING')
          OR (SELECT coalesce(sum(h.units), 0) FROM public.usage_hours h
               WHERE h.tenant_id = p.tenant_id AND h.meter = p_meter
                 AND h.hour >= greatest(p_since, date_trunc('hour', p.created_at, 'UTC'))
                 AND h.hour < p_until)
           > (SELECT coalesce(sum(x.value), 0) FROM public.meter_exports x
               WHERE x.tenant_id = p.tenant_id AND x.meter = p_meter
                 AND x.hour >= greatest(p_since, date_trunc('hour', p.created_at, 'UTC'))
                 AND x.hour < p_until))
   ORDER BY p.tenant_id LIMIT p_limit
$$;
COMMENT ON FUNCTION app.meter_exports_due(text, boolean, timestamptz, timestamptz, integer) IS
  'Tenants with a customer at the provider that have used more between two hours than was told.';

CREATE FUNCTION app.meter_exports_tidy(p_kept_days integer, p_limit integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH due AS (
    SELECT x.tenant_id, x.meter, x.hour, x.seq FROM public.meter_exports x
     WHERE x.ended_at < clock_timestamp() - make_interval(days => p_kept_days)
     ORDER BY x.ended_at LIMIT p_limit FOR UPDATE SKIP LOCKED
  ), gone AS (
    DELETE FROM public.meter_exports x USING due
     WHERE x.tenant_id = due.tenant_id AND x.meter = due.meter AND x.hour = due.hour AND x.seq = due.seq
    RETURNING 1)
  SELECT count(*) FROM gone
$$;
"""
