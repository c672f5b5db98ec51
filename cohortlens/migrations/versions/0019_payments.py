"""What the payment provider tells: its events, subscriptions and invoices."""

from __future__ import annotations

from cohortlens.migrations.ddl import only_jobs, run_script

revision = "0019_payments"
down_revision = "0018_idempotency"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the tables of a tenant's payments, then the inbox of events and what may be done with it."""
    for script in (_TENANTS, _INBOX, _GATEWAY, _JOBS):
        run_script(script)
    only_jobs(
        "app.billing_tenant_of(text, boolean)",
        "app.billing_ask_all(boolean, text, double precision)",
        "app.billing_overdue(double precision)",
    )


# The provider's identifiers are unique over all tenants. An exclusion says so without being a key of the
# table: they come from the provider and never from a caller, so nobody learns anything from a refusal.
_TENANTS = """
CREATE TABLE billing_profiles (
  tenant_id uuid PRIMARY KEY DEFAULT app.tid() REFERENCES tenants (id),
  stripe_customer_id text NOT NULL CHECK (char_length(stripe_customer_id) BETWEEN 1 AND 255),
  livemode boolean NOT NULL,
  email text NOT NULL DEFAULT '' CHECK (char_length(email) <= 320),
  has_payment_method boolean NOT NULL DEFAULT false,
  customer_deleted_at timestamptz,
  fetch_no bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT billing_profiles_one_tenant EXCLUDE USING btree (stripe_customer_id WITH =, livemode WITH =)
);
COMMENT ON TABLE billing_profiles IS 'Which customer of the payment provider pays for the tenant.';
SELECT app.protect('billing_profiles');
REVOKE DELETE ON billing_profiles FROM cl_app;
SELECT app.allow_definer('billing_profiles', 'SELECT');

CREATE TABLE subscriptions (
  tenant_id uuid PRIMARY KEY DEFAULT app.tid() REFERENCES tenants (id),
  stripe_subscription_id text NOT NULL DEFAULT '',
  stripe_customer_id text NOT NULL,
  livemode boolean NOT NULL,
  status text NOT NULL CHECK (status IN ('NONE', 'TRIALING', 'ACTIVE', 'PAST_DUE', 'UNPAID', 'PAUSED',
                                         'INCOMPLETE', 'INCOMPLETE_EXPIRED', 'CANCELED')),
  plan_id text NOT NULL DEFAULT '',
  plan_version integer,
  price_id text NOT NULL DEFAULT '',
  item_id text NOT NULL DEFAULT '',
  billing_interval text NOT NULL DEFAULT ''
    CHECK (billing_interval IN ('', 'day', 'week', 'month', 'year')),
  period_start timestamptz,
  period_end timestamptz,
  anchor timestamptz,
  trial_end timestamptz,
  cancel_at_period_end boolean NOT NULL DEFAULT false,
  cancel_at timestamptz,
  canceled_at timestamptz,
  ended_at timestamptz,
  past_due_since timestamptz,
  schedule_id text NOT NULL DEFAULT '',
  planned_plan_id text NOT NULL DEFAULT '',
  planned_at timestamptz,
  has_pending_update boolean NOT NULL DEFAULT false,
  access text NOT NULL DEFAULT 'FULL' CHECK (access IN ('FULL', 'READ_ONLY')),
  fetch_no bigint NOT NULL DEFAULT 0,
  raw jsonb NOT NULL DEFAULT '{}',
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK ((status = 'PAST_DUE') = (past_due_since IS NOT NULL)),
  CONSTRAINT subscriptions_one_tenant EXCLUDE USING btree (stripe_subscription_id WITH =)
    WHERE (stripe_subscription_id <> '')
);
COMMENT ON TABLE subscriptions IS
  'The subscription that counts, as last fetched; what a tenant may do is read from entitlements alone.';
COMMENT ON COLUMN subscriptions.fetch_no IS 'Number of the fetch; a smaller one never overwrites it.';
COMMENT ON COLUMN subscriptions.plan_id IS 'Plan of the price; empty when no plan of the catalogue has it.';
CREATE INDEX subscriptions_past_due ON subscriptions (past_due_since) WHERE status = 'PAST_DUE';
SELECT app.protect('subscriptions');
REVOKE INSERT, UPDATE, DELETE ON subscriptions FROM cl_app;
GRANT INSERT, UPDATE ON subscriptions TO cl_jobs;
SELECT app.allow_definer('subscriptions', 'SELECT');

CREATE TABLE invoices (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  stripe_invoice_id text NOT NULL CHECK (char_length(stripe_invoice_id) BETWEEN 1 AND 255),
  stripe_subscription_id text NOT NULL DEFAULT '',
  number text NOT NULL DEFAULT '',
  status text NOT NULL CHECK (status IN ('DRAFT', 'OPEN', 'PAID', 'UNCOLLECTIBLE', 'VOID')),
  billing_reason text NOT NULL DEFAULT '',
  currency text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
  amount_due_minor bigint NOT NULL,
  amount_paid_minor bigint NOT NULL,
  attempt_count integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz,
  hosted_url text NOT NULL DEFAULT '',
  pdf_url text NOT NULL DEFAULT '',
  period_start timestamptz NOT NULL,
  period_end timestamptz NOT NULL,
  invoiced_at timestamptz NOT NULL,
  finalized_at timestamptz,
  paid_at timestamptz,
  due_at timestamptz,
  fetch_no bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, stripe_invoice_id)
);
CREATE INDEX invoices_by_time ON invoices (tenant_id, invoiced_at DESC, stripe_invoice_id DESC);
SELECT app.protect('invoices');
REVOKE INSERT, UPDATE, DELETE ON invoices FROM cl_app;
GRANT INSERT, UPDATE, DELETE ON invoices TO cl_jobs;

CREATE TABLE billing_marks (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  kind text NOT NULL CHECK (kind ~ '^[A-Z][A-Z_]{0,31}$'),
  subject text NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 255),
  details jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, kind, subject)
);
COMMENT ON TABLE billing_marks IS
  'What was told or noted once and must not be again: notices by event, refunds, disputes, warnings.';
SELECT app.protect('billing_marks');
REVOKE INSERT, UPDATE, DELETE ON billing_marks FROM cl_app;
GRANT INSERT ON billing_marks TO cl_jobs;
SELECT app.allow_reading();
"""

# No personal data in here: an event is kept as the identifiers that lead back to the provider.
_INBOX = """
CREATE TABLE stripe_events (
  event_id text PRIMARY KEY CHECK (char_length(event_id) BETWEEN 1 AND 255),
  type text NOT NULL CHECK (char_length(type) BETWEEN 1 AND 255),
  livemode boolean NOT NULL,
  api_version text NOT NULL DEFAULT '',
  customer_id text NOT NULL DEFAULT '',
  object_id text NOT NULL DEFAULT '',
  payload jsonb NOT NULL DEFAULT '{}',
  happened_at timestamptz NOT NULL,
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'DONE', 'IGNORED', 'DEAD')),
  attempts integer NOT NULL DEFAULT 0,
  next_try_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_error text NOT NULL DEFAULT '',
  received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz,
  CHECK ((state = 'PENDING') = (ended_at IS NULL))
);
COMMENT ON TABLE stripe_events IS
  'Inbox of the payment provider: a row is an event and the job to follow it.';
COMMENT ON COLUMN stripe_events.next_try_at IS 'Until when a worker has it, or when it is due again.';
COMMENT ON COLUMN stripe_events.payload IS 'Identifiers that lead further; never state, never personal data.';
CREATE INDEX stripe_events_due ON stripe_events (next_try_at) WHERE state = 'PENDING';
CREATE INDEX stripe_events_by_customer ON stripe_events (customer_id, next_try_at) WHERE state = 'PENDING';
CREATE INDEX stripe_events_by_state ON stripe_events (state, received_at);
CREATE INDEX stripe_events_ended ON stripe_events (ended_at) WHERE state IN ('DONE', 'IGNORED');

CREATE TABLE stripe_syncs (
  livemode boolean NOT NULL,
  customer_id text NOT NULL,
  owner text NOT NULL DEFAULT '',
  until timestamptz NOT NULL DEFAULT '-infinity',
  fetch_no bigint NOT NULL DEFAULT 0,
  synced_at timestamptz,
  PRIMARY KEY (livemode, customer_id)
);
COMMENT ON TABLE stripe_syncs IS
  'One row per customer: who works on its events, and how often it was fetched.';

CREATE TABLE stripe_cursors (
  livemode boolean PRIMARY KEY,
  listed_until timestamptz NOT NULL
);
COMMENT ON TABLE stripe_cursors IS 'Up to when the provider was asked which events there were.';
GRANT SELECT, INSERT, UPDATE, DELETE ON stripe_events, stripe_syncs TO cl_jobs;
GRANT SELECT, INSERT, UPDATE ON stripe_cursors TO cl_jobs;
SELECT app.allow_definer('stripe_events', 'SELECT, INSERT, UPDATE');
"""

_GATEWAY = """
CREATE FUNCTION app.billing_event_store(p_id text, p_type text, p_livemode boolean, p_api_version text,
    p_customer text, p_object text, p_payload jsonb, p_happened_at timestamptz, p_ignored boolean)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  INSERT INTO public.stripe_events (event_id, type, livemode, api_version, customer_id, object_id, payload,
                                    happened_at, state, ended_at)
    VALUES (p_id, p_type, p_livemode, p_api_version, p_customer, p_object, p_payload, p_happened_at,
            CASE WHEN p_ignored THEN 'IGNORED' ELSE 'PENDING' END,
            CASE WHEN p_ignored THEN clock_timestamp() END)
    ON CONFLICT (event_id) DO NOTHING;
  RETURN FOUND;
END $$;
SELECT app.define(
  'app.billing_event_store(text, text, boolean, text, text, text, jsonb, timestamptz, boolean)');
COMMENT ON FUNCTION
  app.billing_event_store(text, text, boolean, text, text, text, jsonb, timestamptz, boolean) IS
  'Keep an event of the payment provider; false when it is there already.';

CREATE FUNCTION app.billing_events(p_event text, p_state text, p_type text, p_before timestamptz,
                                   p_before_id text, p_limit integer)
RETURNS TABLE (event_id text, type text, livemode boolean, api_version text, customer_id text, object_id text,
               tenant_id uuid, happened_at timestamptz, state text, attempts integer,
               next_try_at timestamptz, last_error text, received_at timestamptz, ended_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT e.event_id, e.type, e.livemode, e.api_version, e.customer_id, e.object_id, p.tenant_id,
         e.happened_at, e.state, e.attempts, e.next_try_at, e.last_error, e.received_at, e.ended_at
    FROM public.stripe_events e
    LEFT JOIN public.billing_profiles p ON p.stripe_customer_id = e.customer_id AND p.livemode = e.livemode
   WHERE (p_event IS NULL OR e.event_id = p_event) AND (p_state IS NULL OR e.state = p_state)
     AND (p_type IS NULL OR e.type = p_type)
     AND (p_before IS NULL OR (e.received_at, e.event_id) < (p_before, p_before_id))
   ORDER BY e.received_at DESC, e.event_id DESC LIMIT p_limit
$$;
SELECT app.define('app.billing_events(text, text, text, timestamptz, text, integer)');
CREATE INDEX stripe_events_by_time ON stripe_events (received_at DESC, event_id DESC);

CREATE FUNCTION app.billing_event_replay(p_event text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  -- One that waits for its next attempt is only made due; one that a worker has ends as it does.
  UPDATE public.stripe_events
     SET state = 'PENDING', ended_at = NULL, attempts = 0, next_try_at = clock_timestamp()
   WHERE event_id = p_event AND (state <> 'PENDING' OR last_error <> '');
  RETURN EXISTS (SELECT FROM public.stripe_events WHERE event_id = p_event);
END $$;
SELECT app.define('app.billing_event_replay(text)');

CREATE FUNCTION app.billing_tenant_of(p_customer text, p_livemode boolean) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT tenant_id FROM public.billing_profiles
   WHERE stripe_customer_id = p_customer AND livemode = p_livemode
$$;
"""

_JOBS = """
CREATE FUNCTION app.billing_ask_all(p_livemode boolean, p_day text, p_spread_s double precision)
RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  -- The day is in the identifier: however many processes ask, every customer is fetched once a day.
  WITH asked AS (
    INSERT INTO public.stripe_events (event_id, type, livemode, customer_id, happened_at, next_try_at)
      SELECT 'daily-' || p_day || '-' || p.stripe_customer_id, 'cohortlens.reconcile', p.livemode,
             p.stripe_customer_id, clock_timestamp(),
             clock_timestamp() + make_interval(secs => random() * p_spread_s)
        FROM public.billing_profiles p WHERE p.livemode = p_livemode AND p.customer_deleted_at IS NULL
      ON CONFLICT (event_id) DO NOTHING RETURNING 1)
  SELECT count(*) FROM asked
$$;

CREATE FUNCTION app.billing_overdue(p_grace_s double precision) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT tenant_id FROM public.subscriptions
   WHERE status = 'PAST_DUE' AND access = 'FULL'
     AND past_due_since <= clock_timestamp() - make_interval(secs => p_grace_s)
   ORDER BY past_due_since LIMIT 1000
$$;
"""
