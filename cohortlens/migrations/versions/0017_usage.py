"""The month's quota with its leases; usage events, their hours and totals; notices of a quota's end."""

from __future__ import annotations

from cohortlens.migrations.ddl import only_jobs, run_script

revision = "0017_usage"
down_revision = "0016_plans"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of quota and usage, and the functions that reach across tenants."""
    for script in (_QUOTA, _EVENTS, _APPEND, _FOLD, _UPKEEP):
        run_script(script)
    only_jobs(
        "app.usage_fold(integer)",
        "app.quota_forfeit(double precision)",
        "app.quota_drift()",
        "app.quota_notices_due(integer)",
        "app.usage_tidy(integer)",
    )
    run_script("SELECT app.allow_reading()")


_QUOTA = """
CREATE TABLE api_usage (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  meter text NOT NULL CHECK (meter IN ('api_calls')),
  period_start timestamptz NOT NULL,
  period_end timestamptz NOT NULL,
  quota bigint NOT NULL CHECK (quota >= 0),
  reserved bigint NOT NULL CHECK (reserved >= 0),
  last_grant bigint NOT NULL,
  PRIMARY KEY (tenant_id, meter, period_start),
  CHECK (period_start < period_end)
) WITH (fillfactor = 50);
COMMENT ON TABLE api_usage IS
  'What was handed out of a month''s quota; the only truth about what is left of it.';
SELECT app.protect('api_usage');
REVOKE DELETE ON api_usage FROM cl_app;
SELECT app.allow_definer('api_usage', 'SELECT, DELETE');

CREATE TABLE quota_leases (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  meter text NOT NULL,
  period_start timestamptz NOT NULL,
  process_id text NOT NULL,
  granted bigint NOT NULL CHECK (granted > 0),
  returned bigint NOT NULL DEFAULT 0,
  state text NOT NULL CHECK (state IN ('OPEN', 'RETURNED', 'FORFEITED', 'CHARGED')),
  expires_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, meter, period_start) REFERENCES api_usage (tenant_id, meter, period_start),
  CHECK (returned BETWEEN 0 AND granted)
);
CREATE INDEX quota_leases_open ON quota_leases (expires_at) WHERE state = 'OPEN';
CREATE INDEX quota_leases_by_period ON quota_leases (tenant_id, meter, period_start);
COMMENT ON TABLE quota_leases IS
  'Units that a process may spend by itself (OPEN), or that one piece of work cost (CHARGED). '
  'Reserved of a period is always the sum of granted - returned of its leases.';
SELECT app.protect('quota_leases');
REVOKE DELETE ON quota_leases FROM cl_app;
SELECT app.allow_definer('quota_leases', 'SELECT, UPDATE, DELETE');

CREATE TABLE quota_notices (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  meter text NOT NULL,
  period_start timestamptz NOT NULL,
  level integer NOT NULL CHECK (level IN (80, 100)),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, meter, period_start, level)
);
SELECT app.protect('quota_notices');
REVOKE UPDATE, DELETE ON quota_notices FROM cl_app;
SELECT app.allow_definer('quota_notices', 'SELECT, DELETE');
"""

_EVENTS = """
CREATE TABLE usage_events (
  tenant_id uuid NOT NULL,
  created_at timestamptz NOT NULL,
  batch_id uuid NOT NULL,
  position integer NOT NULL,
  meter text NOT NULL,
  period_start timestamptz NOT NULL,
  method text NOT NULL,
  principal text NOT NULL,
  units integer NOT NULL CHECK (units >= 0),
  calls integer NOT NULL CHECK (calls >= 0),
  outcome text NOT NULL,
  request_id text NOT NULL,
  PRIMARY KEY (tenant_id, created_at, batch_id, position)
) PARTITION BY RANGE (created_at);
COMMENT ON COLUMN usage_events.calls IS '1 for the end of a call, 0 for a part of a stream that goes on.';
SELECT app.protect('usage_events');
REVOKE INSERT, UPDATE, DELETE ON usage_events FROM cl_app;
SELECT app.allow_definer('usage_events', 'SELECT, INSERT');
SELECT app.ensure_partitions('usage_events', 3);

CREATE TABLE usage_batches (
  tenant_id uuid NOT NULL,
  batch_id uuid NOT NULL,
  meter text NOT NULL,
  period_start timestamptz NOT NULL,
  units bigint NOT NULL,
  first_at timestamptz NOT NULL,
  last_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, batch_id, meter, period_start)
);
COMMENT ON TABLE usage_batches IS
  'Stored events that no hour holds yet; a row goes in the transaction that adds it.';
SELECT app.protect('usage_batches');
REVOKE INSERT, UPDATE, DELETE ON usage_batches FROM cl_app;
SELECT app.allow_definer('usage_batches', 'SELECT, INSERT, UPDATE, DELETE');

CREATE TABLE usage_hours (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  meter text NOT NULL,
  hour timestamptz NOT NULL,
  principal text NOT NULL,
  method text NOT NULL,
  period_start timestamptz NOT NULL,
  units bigint NOT NULL,
  calls bigint NOT NULL,
  PRIMARY KEY (tenant_id, meter, hour, principal, method, period_start)
) WITH (fillfactor = 70);
COMMENT ON COLUMN usage_hours.period_start IS
  'Period it counts in: one that begins within the hour has rows of its own.';
SELECT app.protect('usage_hours');
REVOKE INSERT, UPDATE, DELETE ON usage_hours FROM cl_app;
SELECT app.allow_definer('usage_hours', 'SELECT, INSERT, UPDATE');

CREATE TABLE usage_totals (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  meter text NOT NULL,
  period_start timestamptz NOT NULL,
  used bigint NOT NULL,
  PRIMARY KEY (tenant_id, meter, period_start)
) WITH (fillfactor = 50);
COMMENT ON TABLE usage_totals IS 'Sum of the hours of a period; apart from api_usage, whose row grants lock.';
SELECT app.protect('usage_totals');
REVOKE INSERT, UPDATE, DELETE ON usage_totals FROM cl_app;
SELECT app.allow_definer('usage_totals', 'SELECT, INSERT, UPDATE');

CREATE TABLE usage_spools (
  id uuid PRIMARY KEY,
  last_seq bigint NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE usage_spools IS
  'Last stored batch of each process''s spool: what is replayed after a crash adds nothing twice.';
GRANT SELECT, INSERT, UPDATE, DELETE ON usage_spools TO cl_definer;
"""

_APPEND = """
CREATE FUNCTION app.usage_append(
  p_spool uuid, p_seq bigint, p_batch uuid, p_tenants uuid[], p_meters text[], p_periods timestamptz[],
  p_at timestamptz[], p_methods text[], p_principals text[], p_units integer[], p_calls integer[],
  p_outcomes text[], p_requests text[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  latest timestamptz := clock_timestamp(); earliest timestamptz := date_trunc('month', latest);
  stored integer;
BEGIN
  IF p_spool IS NOT NULL THEN
    INSERT INTO public.usage_spools AS s (id, last_seq) VALUES (p_spool, p_seq)
      ON CONFLICT (id) DO UPDATE SET last_seq = p_seq, seen_at = latest WHERE s.last_seq < p_seq;
    IF NOT FOUND THEN RETURN 0; END IF;
  END IF;
  -- A clock that is wrong must not name a month without a partition, which would hold up all that follows.
  IF to_regclass('public.usage_events' || to_char(earliest - interval '1 day', '"_y"YYYY"m"MM'))
     IS NOT NULL THEN
    earliest := earliest - interval '1 month';
  END IF;
  WITH given AS MATERIALIZED (
    SELECT g.*, greatest(least(g.at, latest), earliest) AS created_at
      FROM unnest(p_tenants, p_meters, p_periods, p_at, p_methods, p_principals, p_units, p_calls, p_outcomes,
                  p_requests) WITH ORDINALITY
        AS g (tenant_id, meter, period_start, at, method, principal, units, calls, outcome, request_id,
              position)
      JOIN public.tenants t ON t.id = g.tenant_id AND t.status <> 'ERASED'),
  events AS (
    INSERT INTO public.usage_events (tenant_id, created_at, batch_id, position, meter, period_start, method,
      principal, units, calls, outcome, request_id)
    SELECT tenant_id, created_at, p_batch, position, meter, period_start, method, principal, units, calls,
           outcome, request_id FROM given RETURNING 1),
  batches AS (
    INSERT INTO public.usage_batches (tenant_id, batch_id, meter, period_start, units, first_at, last_at)
    SELECT tenant_id, p_batch, meter, period_start, sum(units), min(created_at), max(created_at) FROM given
     GROUP BY tenant_id, meter, period_start)
  SELECT count(*) INTO stored FROM events;
  RETURN stored;
END $$;
COMMENT ON FUNCTION app.usage_append(uuid, bigint, uuid, uuid[], text[], timestamptz[], timestamptz[],
  text[], text[], integer[], integer[], text[], text[]) IS
  'Store a batch of usage events of any tenants, once for each spool and number; answers how many.';
SELECT app.define('app.usage_append(uuid, bigint, uuid, uuid[], text[], timestamptz[], timestamptz[],
  text[], text[], integer[], integer[], text[], text[])');
"""

_FOLD = """
CREATE FUNCTION app.usage_fold(p_limit integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC' AS $$
DECLARE folded integer;
BEGIN
  -- One at a time: two would add to the same hours and wait for one another crosswise.
  IF NOT pg_try_advisory_xact_lock(hashtextextended('usage_fold', 0)) THEN RETURN 0; END IF;
  WITH chosen AS MATERIALIZED (
    SELECT tenant_id, batch_id, meter, period_start FROM public.usage_batches
     ORDER BY batch_id LIMIT p_limit),
  taken AS (
    DELETE FROM public.usage_batches b USING chosen c
     WHERE (b.tenant_id, b.batch_id, b.meter, b.period_start)
         = (c.tenant_id, c.batch_id, c.meter, c.period_start)
    RETURNING b.*),
  hours AS (
    INSERT INTO public.usage_hours AS h
      (tenant_id, meter, hour, principal, method, period_start, units, calls)
    SELECT e.tenant_id, e.meter, date_trunc('hour', e.created_at), e.principal, e.method, e.period_start,
           sum(e.units), sum(e.calls)
      FROM taken t JOIN public.usage_events e ON e.tenant_id = t.tenant_id AND e.batch_id = t.batch_id
       AND e.created_at BETWEEN t.first_at AND t.last_at AND e.meter = t.meter
       AND e.period_start = t.period_start
     GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (tenant_id, meter, hour, principal, method, period_start)
    DO UPDATE SET units = h.units + EXCLUDED.units, calls = h.calls + EXCLUDED.calls),
  totals AS (
    INSERT INTO public.usage_totals AS u (tenant_id, meter, period_start, used)
    SELECT tenant_id, meter, period_start, sum(units) FROM taken GROUP BY 1, 2, 3
    ON CONFLICT (tenant_id, meter, period_start) DO UPDATE SET used = u.used + EXCLUDED.used)
  SELECT count(*) INTO folded FROM taken;
  RETURN folded;
END $$;
COMMENT ON FUNCTION app.usage_fold(integer) IS
  'Add the events of so many batches to their hours and totals, each batch once; answers how many batches.';
"""

_UPKEEP = """
CREATE FUNCTION app.quota_forfeit(p_grace_s double precision) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH gone AS (
    UPDATE public.quota_leases SET state = 'FORFEITED'
     WHERE state = 'OPEN' AND expires_at < clock_timestamp() - make_interval(secs => p_grace_s) RETURNING 1)
  SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION app.quota_forfeit(double precision) IS
  'Close the leases that their processes never gave back; what was spent is unknown, so nothing returns.';

CREATE FUNCTION app.quota_drift()
RETURNS TABLE (tenant_id uuid, meter text, period_start timestamptz, reserved bigint, leased bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT u.tenant_id, u.meter, u.period_start, u.reserved, coalesce(l.leased, 0)::bigint
    FROM public.api_usage u LEFT JOIN (
      SELECT q.tenant_id, q.meter, q.period_start, sum(q.granted - q.returned) AS leased
        FROM public.quota_leases q GROUP BY 1, 2, 3) l USING (tenant_id, meter, period_start)
   WHERE u.reserved <> coalesce(l.leased, 0)
$$;
COMMENT ON FUNCTION app.quota_drift() IS
  'Periods whose reserved units are not the sum of their leases: none, ever.';

CREATE FUNCTION app.quota_notices_due(p_limit integer)
RETURNS TABLE (tenant_id uuid, meter text, period_start timestamptz, period_end timestamptz, level integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT u.tenant_id, u.meter, u.period_start, u.period_end, max(l.level)
    FROM public.api_usage u CROSS JOIN (VALUES (80), (100)) AS l (level)
   WHERE u.period_end > clock_timestamp() AND u.quota > 0 AND u.reserved * 100 >= u.quota * l.level
     AND NOT EXISTS (SELECT 1 FROM public.quota_notices n WHERE n.tenant_id = u.tenant_id
                        AND n.meter = u.meter AND n.period_start = u.period_start AND n.level >= l.level)
   GROUP BY 1, 2, 3, 4 ORDER BY 1 LIMIT p_limit
$$;
COMMENT ON FUNCTION app.quota_notices_due(integer) IS
  'Running periods that reached 80 or 100 % and were told nobody.';

CREATE FUNCTION app.usage_tidy(p_keep_days integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  -- Leases and their period go together, or the sum over the leases would be wrong.
  WITH ended AS MATERIALIZED (
    SELECT u.tenant_id, u.meter, u.period_start FROM public.api_usage u
     WHERE u.period_end < clock_timestamp() - make_interval(days => p_keep_days) LIMIT 1000),
  leases AS (
    DELETE FROM public.quota_leases q USING ended e
     WHERE (q.tenant_id, q.meter, q.period_start) = (e.tenant_id, e.meter, e.period_start) RETURNING 1),
  notices AS (
    DELETE FROM public.quota_notices n USING ended e
     WHERE (n.tenant_id, n.meter, n.period_start) = (e.tenant_id, e.meter, e.period_start) RETURNING 1),
  periods AS (
    DELETE FROM public.api_usage u USING ended e
     WHERE (u.tenant_id, u.meter, u.period_start) = (e.tenant_id, e.meter, e.period_start) RETURNING 1),
  spools AS (
    DELETE FROM public.usage_spools
     WHERE seen_at < clock_timestamp() - make_interval(days => p_keep_days) RETURNING 1)
  SELECT (SELECT count(*) FROM leases) + (SELECT count(*) FROM notices) + (SELECT count(*) FROM periods)
       + (SELECT count(*) FROM spools)
$$;
COMMENT ON FUNCTION app.usage_tidy(integer) IS
  'Forget leases of periods that ended so many days ago, and old spools; totals and hours stay.';
"""
