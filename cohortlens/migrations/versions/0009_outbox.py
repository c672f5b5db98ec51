"""Keys and dead letters of the outbox, and mail that waits to be sent."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0009_outbox"
down_revision = "0008_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give each key of the outbox a row that is leased, then build the table of mails."""
    for script in (_KEYS, _PLACING, _CLAIMING, _OPERATING, _MAILS, _SESSIONS):
        run_script(script)


_MAILS = """
CREATE TABLE mails (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  id uuid NOT NULL,
  template text NOT NULL CHECK (template ~ '^[a-z][a-z0-9_]{0,62}$'),
  locale text NOT NULL DEFAULT 'en',
  state text NOT NULL DEFAULT 'QUEUED' CHECK (state IN ('QUEUED', 'SENT', 'FAILED')),
  -- Recipient and values, which may hold one-time tokens; gone once the mail is.
  sealed bytea,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  CHECK ((state = 'SENT') <= (sealed IS NULL)),
  CHECK ((state = 'QUEUED') = (ended_at IS NULL))
);
CREATE INDEX mails_by_time ON mails (created_at);
SELECT app.protect('mails');
SELECT app.allow_definer('mails', 'SELECT, DELETE');
SELECT app.allow_resealing('mails', 'sealed');

CREATE FUNCTION app.mails_purge(p_keep_s integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM public.mails WHERE created_at < clock_timestamp() - make_interval(secs => p_keep_s)
    RETURNING 1)
  SELECT count(*) FROM gone
$$;
SELECT app.define('app.mails_purge(integer)');
"""

_SESSIONS = """
GRANT DELETE ON sessions TO cl_definer;
CREATE INDEX sessions_ended ON sessions (absolute_expires_at);
CREATE FUNCTION app.sessions_purge(p_keep_s integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  -- The absolute end comes within 30 days of the start, whatever ended a session before.
  WITH gone AS (
    DELETE FROM public.sessions
     WHERE absolute_expires_at < clock_timestamp() - make_interval(secs => p_keep_s) RETURNING 1)
  SELECT count(*) FROM gone
$$;
SELECT app.define('app.sessions_purge(integer)');
"""

# An event gets its place when its transaction commits, under the lock of its key's row: places of a key
# follow the order of commits, and no transaction waits for another one longer than a commit takes.
_KEYS = """
DROP FUNCTION app.outbox_claim(text, text[], integer, double precision, integer);
DROP FUNCTION app.outbox_settle(uuid, uuid, text, integer);
DROP FUNCTION app.outbox_extend(uuid, uuid, text, integer, double precision);
DROP FUNCTION app.outbox_fail(uuid, uuid, text, integer, text, double precision);
DROP INDEX outbox_open, outbox_open_by_key;

CREATE SEQUENCE outbox_places CACHE 1;
GRANT USAGE ON SEQUENCE outbox_places TO cl_app, cl_definer;

CREATE TABLE outbox_keys (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  key text NOT NULL,
  -- The first open event of the key, which is the only one that may be worked on.
  head_id uuid NOT NULL,
  topic text NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  -- When it may be claimed: after a back-off, after a lease.
  due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  worker text,
  fence bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, key)
) WITH (fillfactor = 70);
COMMENT ON TABLE outbox_keys IS 'One row per key that has open events; a claim leases it.';
CREATE INDEX outbox_keys_due ON outbox_keys (topic, due_at);
SELECT app.protect('outbox_keys');
REVOKE INSERT, UPDATE, DELETE ON outbox_keys FROM cl_app;
SELECT app.allow_definer('outbox_keys', 'SELECT, INSERT, UPDATE, DELETE');

ALTER TABLE outbox ADD COLUMN place bigint;
ALTER TABLE outbox ADD COLUMN placed boolean NOT NULL DEFAULT false;
ALTER TABLE outbox NO FORCE ROW LEVEL SECURITY;
WITH ordered AS MATERIALIZED (
  SELECT tenant_id, id, nextval('outbox_places') AS place
    FROM (SELECT tenant_id, id FROM outbox ORDER BY xid, id) AS o)
UPDATE outbox o SET place = ordered.place, placed = true FROM ordered
 WHERE o.tenant_id = ordered.tenant_id AND o.id = ordered.id;
ALTER TABLE outbox_keys NO FORCE ROW LEVEL SECURITY;
INSERT INTO outbox_keys (tenant_id, key, head_id, topic, attempts, due_at)
  SELECT DISTINCT ON (tenant_id, key) tenant_id, key, id, topic, attempts,
         greatest(available_at, coalesce(lease_until, available_at))
    FROM outbox WHERE done_at IS NULL AND dead_at IS NULL ORDER BY tenant_id, key, place;
ALTER TABLE outbox_keys FORCE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;
ALTER TABLE outbox ALTER COLUMN place SET NOT NULL, ALTER COLUMN place SET DEFAULT nextval('outbox_places');
ALTER TABLE outbox DROP COLUMN available_at, DROP COLUMN claimed_by, DROP COLUMN lease_until;
CREATE INDEX outbox_open ON outbox (tenant_id, key, place) WHERE done_at IS NULL AND dead_at IS NULL;
CREATE INDEX outbox_unplaced ON outbox (xid) WHERE NOT placed;
CREATE INDEX outbox_dead ON outbox (dead_at) WHERE dead_at IS NOT NULL AND done_at IS NULL;
"""

_PLACING = """
CREATE FUNCTION app.outbox_lock(p_tenant uuid, p_key text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM 1 FROM public.outbox_keys k WHERE k.tenant_id = p_tenant AND k.key = p_key FOR UPDATE;
  RETURN FOUND;
END $$;
REVOKE ALL ON FUNCTION app.outbox_lock(uuid, text) FROM PUBLIC;
GRANT CREATE ON SCHEMA app TO cl_definer;
ALTER FUNCTION app.outbox_lock(uuid, text) OWNER TO cl_definer;

CREATE FUNCTION app.outbox_place() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE mine record;
BEGIN
  -- The first event of a transaction places all of them.
  PERFORM 1 FROM public.outbox o WHERE o.tenant_id = NEW.tenant_id AND o.id = NEW.id AND NOT o.placed;
  IF NOT FOUND THEN RETURN NULL; END IF;
  -- Sorted, so that two transactions with the same keys do not wait for each other crosswise.
  FOR mine IN
    SELECT DISTINCT ON (o.tenant_id, o.key) o.tenant_id, o.key, o.id, o.topic FROM public.outbox o
     WHERE o.xid = pg_current_xact_id() AND NOT o.placed ORDER BY o.tenant_id, o.key, o.place
  LOOP
    LOOP
      EXIT WHEN app.outbox_lock(mine.tenant_id, mine.key);
      INSERT INTO public.outbox_keys (tenant_id, key, head_id, topic)
        VALUES (mine.tenant_id, mine.key, mine.id, mine.topic) ON CONFLICT (tenant_id, key) DO NOTHING;
      EXIT WHEN FOUND;
    END LOOP;
  END LOOP;
  WITH ordered AS MATERIALIZED (
    SELECT o.tenant_id, o.id, nextval('public.outbox_places') AS place
      FROM (SELECT e.tenant_id, e.id FROM public.outbox e
             WHERE e.xid = pg_current_xact_id() AND NOT e.placed ORDER BY e.place) AS o)
  UPDATE public.outbox o SET place = ordered.place, placed = true FROM ordered
   WHERE o.tenant_id = ordered.tenant_id AND o.id = ordered.id;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION app.outbox_place() FROM PUBLIC;
ALTER FUNCTION app.outbox_place() OWNER TO cl_definer;
REVOKE CREATE ON SCHEMA app FROM cl_definer;
CREATE CONSTRAINT TRIGGER outbox_place AFTER INSERT ON outbox DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION app.outbox_place();
"""

_CLAIMING = """
CREATE FUNCTION app.outbox_claim(p_worker text, p_topics text[], p_limits integer[],
                                 p_leases_s double precision[], p_bury_after integer)
RETURNS TABLE (tenant_id uuid, id uuid, topic text, key text, payload jsonb, attempts integer, fence bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE tenants uuid[]; keys text[]; spent record;
BEGIN
  WITH due AS (
    SELECT d.tenant_id, d.key, w.lease_s
      FROM unnest(p_topics, p_limits, p_leases_s) AS w (topic, most, lease_s)
     CROSS JOIN LATERAL (
       SELECT k.tenant_id, k.key FROM public.outbox_keys k
        -- now() and not the clock: a volatile bound would not end the scan of the index.
        WHERE k.topic = w.topic AND k.due_at <= now()
        ORDER BY k.due_at LIMIT w.most FOR UPDATE SKIP LOCKED) AS d),
  claimed AS (
    UPDATE public.outbox_keys k
       SET attempts = k.attempts + 1, worker = p_worker, fence = nextval('public.outbox_places'),
           due_at = clock_timestamp() + make_interval(secs => due.lease_s)
      FROM due WHERE k.tenant_id = due.tenant_id AND k.key = due.key
    RETURNING k.tenant_id, k.key)
  SELECT array_agg(c.tenant_id), array_agg(c.key) INTO tenants, keys FROM claimed c;
  -- Whoever takes a worker down in every attempt, and in those to say so, must end some time.
  FOR spent IN
    SELECT k.tenant_id, k.key, k.head_id, k.attempts FROM public.outbox_keys k
      JOIN unnest(tenants, keys) AS c (tenant_id, key) ON k.tenant_id = c.tenant_id AND k.key = c.key
     WHERE k.attempts > p_bury_after
  LOOP
    UPDATE public.outbox o
       SET dead_at = clock_timestamp(), attempts = spent.attempts,
           last_error = coalesce(o.last_error, 'the worker died in every attempt')
     WHERE o.tenant_id = spent.tenant_id AND o.id = spent.head_id;
    PERFORM app.outbox_advance(spent.tenant_id, spent.key);
  END LOOP;
  -- A statement of its own: the head may have changed after the snapshot of the first.
  RETURN QUERY
    SELECT k.tenant_id, k.head_id, k.topic, k.key, o.payload, k.attempts, k.fence
      FROM unnest(tenants, keys) AS c (tenant_id, key)
      JOIN public.outbox_keys k ON k.tenant_id = c.tenant_id AND k.key = c.key AND k.worker = p_worker
      JOIN public.outbox o ON o.tenant_id = k.tenant_id AND o.id = k.head_id
     WHERE k.attempts BETWEEN 1 AND p_bury_after;
END $$;
SELECT app.define('app.outbox_claim(text, text[], integer[], double precision[], integer)');

CREATE FUNCTION app.outbox_advance(p_tenant uuid, p_key text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE next record;
BEGIN
  SELECT o.id, o.topic INTO next FROM public.outbox o
   WHERE o.tenant_id = p_tenant AND o.key = p_key AND o.placed AND o.done_at IS NULL AND o.dead_at IS NULL
   ORDER BY o.place LIMIT 1;
  IF FOUND THEN
    -- Due now and not since its birth: keys take turns, however many events one of them has.
    UPDATE public.outbox_keys SET head_id = next.id, topic = next.topic, attempts = 0, worker = NULL,
           due_at = clock_timestamp() WHERE tenant_id = p_tenant AND key = p_key;
  ELSE
    DELETE FROM public.outbox_keys WHERE tenant_id = p_tenant AND key = p_key;
  END IF;
END $$;
REVOKE ALL ON FUNCTION app.outbox_advance(uuid, text) FROM PUBLIC;
GRANT CREATE ON SCHEMA app TO cl_definer;
ALTER FUNCTION app.outbox_advance(uuid, text) OWNER TO cl_definer;
REVOKE CREATE ON SCHEMA app FROM cl_definer;

CREATE FUNCTION app.outbox_settle(p_tenant uuid, p_key text, p_worker text, p_fence bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE held record;
BEGIN
  SELECT k.head_id, k.attempts INTO held FROM public.outbox_keys k
   WHERE k.tenant_id = p_tenant AND k.key = p_key AND k.worker = p_worker AND k.fence = p_fence FOR UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;
  UPDATE public.outbox SET done_at = clock_timestamp(), attempts = held.attempts
   WHERE tenant_id = p_tenant AND id = held.head_id;
  PERFORM app.outbox_advance(p_tenant, p_key);
  RETURN true;
END $$;
SELECT app.define('app.outbox_settle(uuid, text, text, bigint)');

CREATE FUNCTION app.outbox_extend(p_tenant uuid, p_key text, p_worker text, p_fence bigint,
                                  p_lease_s double precision) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH extended AS (
    UPDATE public.outbox_keys SET due_at = clock_timestamp() + make_interval(secs => p_lease_s)
     WHERE tenant_id = p_tenant AND key = p_key AND worker = p_worker AND fence = p_fence RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM extended)
$$;
SELECT app.define('app.outbox_extend(uuid, text, text, bigint, double precision)');

CREATE FUNCTION app.outbox_fail(p_tenant uuid, p_key text, p_worker text, p_fence bigint, p_error text,
                                p_retry_in_s double precision) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE held record;
BEGIN
  SELECT k.head_id, k.attempts INTO held FROM public.outbox_keys k
   WHERE k.tenant_id = p_tenant AND k.key = p_key AND k.worker = p_worker AND k.fence = p_fence FOR UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;
  UPDATE public.outbox SET last_error = p_error, attempts = held.attempts,
         dead_at = CASE WHEN p_retry_in_s IS NULL THEN clock_timestamp() END
   WHERE tenant_id = p_tenant AND id = held.head_id;
  IF p_retry_in_s IS NULL THEN
    PERFORM app.outbox_advance(p_tenant, p_key);
  ELSE
    UPDATE public.outbox_keys SET worker = NULL,
           due_at = clock_timestamp() + make_interval(secs => p_retry_in_s)
     WHERE tenant_id = p_tenant AND key = p_key;
  END IF;
  RETURN true;
END $$;
SELECT app.define('app.outbox_fail(uuid, text, text, bigint, text, double precision)');
"""

_OPERATING = """
CREATE FUNCTION app.outbox_list(p_state text, p_topic text, p_event uuid, p_most integer)
RETURNS TABLE (tenant_id uuid, id uuid, topic text, key text, payload jsonb, state text, attempts integer,
               last_error text, worker text, created_at timestamptz, due_at timestamptz, dead_at timestamptz,
               behind bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT o.tenant_id, o.id, o.topic, o.key, o.payload, s.state, coalesce(k.attempts, o.attempts),
         o.last_error, k.worker, o.created_at, k.due_at, o.dead_at,
         (SELECT count(*) FROM public.outbox b
           WHERE b.tenant_id = o.tenant_id AND b.key = o.key AND b.place > o.place
             AND b.done_at IS NULL AND b.dead_at IS NULL)
    FROM public.outbox o
    LEFT JOIN public.outbox_keys k ON k.tenant_id = o.tenant_id AND k.head_id = o.id AND k.key = o.key
   CROSS JOIN LATERAL (SELECT CASE
      WHEN o.dead_at IS NOT NULL AND o.done_at IS NOT NULL THEN 'DISCARDED'
      WHEN o.dead_at IS NOT NULL THEN 'DEAD' WHEN o.done_at IS NOT NULL THEN 'DONE'
      WHEN k.worker IS NOT NULL AND k.due_at > clock_timestamp() THEN 'RUNNING'
      WHEN k.attempts > 0 THEN 'RETRYING' ELSE 'WAITING' END AS state) AS s
   WHERE o.placed AND (p_event IS NULL OR o.id = p_event) AND (p_topic IS NULL OR o.topic = p_topic)
     AND (p_event IS NOT NULL OR (p_state = 'DEAD' AND o.dead_at IS NOT NULL AND o.done_at IS NULL)
          OR (p_state <> 'DEAD' AND o.done_at IS NULL AND o.dead_at IS NULL))
     AND (p_event IS NOT NULL OR p_state IN ('DEAD', 'OPEN') OR s.state = p_state)
   ORDER BY o.place LIMIT p_most
$$;
SELECT app.define('app.outbox_list(text, text, uuid, integer)');

CREATE FUNCTION app.outbox_retry(p_tenant uuid, p_event uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE again record; is_new boolean := false; is_back boolean;
BEGIN
  SELECT o.key, o.topic, o.dead_at IS NOT NULL AS is_dead INTO again FROM public.outbox o
   WHERE o.tenant_id = p_tenant AND o.id = p_event AND o.placed AND o.done_at IS NULL;
  IF NOT FOUND THEN RETURN false; END IF;
  IF NOT again.is_dead THEN
    UPDATE public.outbox_keys SET due_at = clock_timestamp()
     WHERE tenant_id = p_tenant AND key = again.key AND head_id = p_event AND worker IS NULL;
    RETURN FOUND;
  END IF;
  LOOP
    EXIT WHEN app.outbox_lock(p_tenant, again.key);
    INSERT INTO public.outbox_keys (tenant_id, key, head_id, topic)
      VALUES (p_tenant, again.key, p_event, again.topic) ON CONFLICT (tenant_id, key) DO NOTHING;
    is_new := FOUND;
    EXIT WHEN is_new;
  END LOOP;
  UPDATE public.outbox SET dead_at = NULL, attempts = 0
   WHERE tenant_id = p_tenant AND id = p_event AND dead_at IS NOT NULL AND done_at IS NULL;
  is_back := FOUND;
  -- Its place is older than what waits: it goes first, unless an event of the key is worked on right now.
  IF is_new OR NOT EXISTS (SELECT 1 FROM public.outbox_keys k WHERE k.tenant_id = p_tenant
                              AND k.key = again.key AND k.worker IS NOT NULL AND k.due_at > clock_timestamp())
  THEN
    PERFORM app.outbox_advance(p_tenant, again.key);
  END IF;
  RETURN is_back;
END $$;
SELECT app.define('app.outbox_retry(uuid, uuid)');

CREATE FUNCTION app.outbox_discard(p_tenant uuid, p_event uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE held record;
BEGIN
  SELECT k.key, k.head_id = p_event AS is_head,
         k.worker IS NOT NULL AND k.due_at > clock_timestamp() AS is_running INTO held
    FROM public.outbox_keys k JOIN public.outbox o ON o.tenant_id = k.tenant_id AND o.key = k.key
   WHERE o.tenant_id = p_tenant AND o.id = p_event FOR UPDATE OF k;
  IF held.is_head AND held.is_running THEN RETURN false; END IF;
  UPDATE public.outbox SET dead_at = coalesce(dead_at, clock_timestamp()), done_at = clock_timestamp()
   WHERE tenant_id = p_tenant AND id = p_event AND placed AND done_at IS NULL;
  IF NOT FOUND THEN RETURN false; END IF;
  IF held.is_head THEN PERFORM app.outbox_advance(p_tenant, held.key); END IF;
  RETURN true;
END $$;
SELECT app.define('app.outbox_discard(uuid, uuid)');

CREATE FUNCTION app.outbox_figures()
RETURNS TABLE (topic text, open bigint, dead bigint, oldest_s double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT o.topic, count(*) FILTER (WHERE o.dead_at IS NULL), count(*) FILTER (WHERE o.dead_at IS NOT NULL),
         coalesce(extract(epoch FROM clock_timestamp()
                          - min(o.created_at) FILTER (WHERE o.dead_at IS NULL)), 0)
    FROM public.outbox o WHERE o.done_at IS NULL AND o.placed GROUP BY o.topic
$$;
SELECT app.define('app.outbox_figures()');

CREATE FUNCTION app.outbox_repair() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE lost record; made bigint := 0;
BEGIN
  -- After a partial restore a key may have open events and no row, or a row whose head is gone.
  FOR lost IN
    SELECT DISTINCT o.tenant_id, o.key, (SELECT id FROM public.outbox h WHERE h.tenant_id = o.tenant_id
             AND h.key = o.key AND h.done_at IS NULL AND h.dead_at IS NULL ORDER BY h.place LIMIT 1) AS id
      FROM public.outbox o
     WHERE o.placed AND o.done_at IS NULL AND o.dead_at IS NULL
       AND NOT EXISTS (SELECT 1 FROM public.outbox_keys k WHERE k.tenant_id = o.tenant_id AND k.key = o.key)
  LOOP
    INSERT INTO public.outbox_keys (tenant_id, key, head_id, topic)
      SELECT o.tenant_id, o.key, o.id, o.topic FROM public.outbox o
       WHERE o.tenant_id = lost.tenant_id AND o.id = lost.id
      ON CONFLICT (tenant_id, key) DO NOTHING;
    IF FOUND THEN
      PERFORM app.outbox_advance(lost.tenant_id, lost.key);
      made := made + 1;
    END IF;
  END LOOP;
  RETURN made;
END $$;
SELECT app.define('app.outbox_repair()');
"""
