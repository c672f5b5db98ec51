"""Tenants, users, sessions, signing keys, the outbox, and the helpers every later table uses."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build schema ``app`` with its helpers, then the tables and the functions of log-in and outbox."""
    for script in (_HELPERS, _PARTITIONS, _TABLES, _AUTH_FUNCTIONS, _OUTBOX):
        run_script(script)


_HELPERS = """
DO $$ BEGIN
  IF NOT pg_has_role(current_user, 'cl_definer', 'SET') THEN
    RAISE EXCEPTION 'role % may not SET ROLE cl_definer', current_user
      USING HINT = 'As a superuser run: GRANT cl_definer TO cl_owner WITH INHERIT FALSE, SET TRUE';
  END IF;
END $$;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO cl_app, cl_definer;
GRANT SELECT ON alembic_version TO cl_app;

CREATE FUNCTION app.tid() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.tenant_id', true), '')::uuid $$;
GRANT EXECUTE ON FUNCTION app.tid() TO PUBLIC;

CREATE FUNCTION app.protect(target regclass) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
  EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
  EXECUTE format('CREATE POLICY tenant ON %s USING (tenant_id = app.tid()) '
                 'WITH CHECK (tenant_id = app.tid())', target);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO cl_app', target);
END $$;
COMMENT ON FUNCTION app.protect(regclass) IS 'Separate the tenants of a table by its column tenant_id.';

CREATE FUNCTION app.allow_definer(target regclass, privileges text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  EXECUTE format('GRANT %s ON %s TO cl_definer', privileges, target);
  IF (SELECT relrowsecurity FROM pg_class WHERE oid = target) THEN
    EXECUTE format('CREATE POLICY definer ON %s TO cl_definer USING (true) WITH CHECK (true)', target);
  END IF;
END $$;
COMMENT ON FUNCTION app.allow_definer(regclass, text) IS
  'Let functions of cl_definer reach all tenants of a table.';

CREATE FUNCTION app.define(function regprocedure) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function);
  EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO cl_app', function);
  GRANT CREATE ON SCHEMA app TO cl_definer;
  EXECUTE format('ALTER FUNCTION %s OWNER TO cl_definer', function);
  REVOKE CREATE ON SCHEMA app FROM cl_definer;
END $$;
COMMENT ON FUNCTION app.define(regprocedure) IS
  'Hand a SECURITY DEFINER function to cl_definer; cl_app may call it.';
"""

_PARTITIONS = """
CREATE FUNCTION app.ensure_partitions_from(target regclass, months_ahead integer, since timestamptz)
RETURNS integer LANGUAGE plpgsql SET search_path = pg_catalog SET timezone = 'UTC' AS $$
DECLARE
  place name; stem name; part text; made integer := 0; lower_bound timestamptz; upper_bound timestamptz;
BEGIN
  IF months_ahead IS NULL OR months_ahead NOT BETWEEN 0 AND 24 THEN
    RAISE EXCEPTION 'months_ahead must be 0 to 24' USING ERRCODE = '22023';
  END IF;
  SELECT n.nspname, c.relname INTO place, stem
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_partitioned_table p ON p.partrelid = c.oid
   WHERE c.oid = target AND p.partstrat = 'r' AND p.partnatts = 1
     AND pg_has_role(current_user, c.relowner, 'USAGE');
  IF NOT FOUND THEN
    RAISE EXCEPTION '% is not a table partitioned by one range', target USING ERRCODE = '22023';
  END IF;
  PERFORM pg_advisory_xact_lock(target::oid::bigint);
  FOR month IN 0 .. months_ahead LOOP
    lower_bound := date_trunc('month', since) + make_interval(months => month);
    upper_bound := lower_bound + interval '1 month';
    part := format('%I.%I', place, stem || to_char(lower_bound, '"_y"YYYY"m"MM'));
    CONTINUE WHEN to_regclass(part) IS NOT NULL;
    EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, target);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', part);
    -- ATTACH lets readers and writers of the parent go on; CREATE ... PARTITION OF would stop them.
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
                   target, part, lower_bound, upper_bound);
    made := made + 1;
  END LOOP;
  RETURN made;
END $$;

CREATE FUNCTION app.ensure_partitions(target regclass, months_ahead integer) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
AS $$ SELECT app.ensure_partitions_from(target, months_ahead, clock_timestamp()) $$;
COMMENT ON FUNCTION app.ensure_partitions(regclass, integer) IS
  'Make the missing monthly partitions from this month (UTC) on; answers how many were made.';
GRANT EXECUTE ON FUNCTION app.ensure_partitions(regclass, integer) TO cl_app;
"""

_TABLES = """
CREATE TABLE tenants (
  id uuid PRIMARY KEY,
  display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 200),
  status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'SUSPENDED', 'DELETING')),
  tver integer NOT NULL DEFAULT 1,
  terms_version text NOT NULL,
  terms_at timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants USING (id = app.tid()) WITH CHECK (id = app.tid());
GRANT SELECT ON tenants TO cl_app;
SELECT app.allow_definer('tenants', 'SELECT, INSERT');

CREATE TABLE users (
  id uuid PRIMARY KEY,
  email text NOT NULL UNIQUE,
  email_verified_at timestamptz,
  password_hash text NOT NULL,
  status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'DISABLED')),
  last_login_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);
SELECT app.allow_definer('users', 'SELECT, INSERT, UPDATE');

CREATE TABLE tenant_users (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  user_id uuid NOT NULL REFERENCES users (id),
  role text NOT NULL CHECK (role IN ('owner', 'admin', 'analyst', 'viewer')),
  ver integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX tenant_users_by_user ON tenant_users (user_id);
CREATE INDEX tenant_users_owners ON tenant_users (tenant_id) WHERE role = 'owner';
SELECT app.protect('tenant_users');
REVOKE INSERT, UPDATE, DELETE ON tenant_users FROM cl_app;
SELECT app.allow_definer('tenant_users', 'SELECT, INSERT');

CREATE TABLE sessions (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  user_id uuid NOT NULL,
  device_name text NOT NULL DEFAULT '',
  refresh_counter bigint NOT NULL DEFAULT 1,
  refresh_key_enc bytea NOT NULL,
  used_gen bigint NOT NULL DEFAULT 0,
  last_refreshed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  idle_expires_at timestamptz NOT NULL DEFAULT clock_timestamp() + interval '14 days',
  absolute_expires_at timestamptz NOT NULL DEFAULT clock_timestamp() + interval '30 days',
  revoked_at timestamptz,
  revoke_reason text,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, user_id) REFERENCES tenant_users (tenant_id, user_id) ON DELETE CASCADE
);
CREATE INDEX sessions_by_id ON sessions (id);
CREATE INDEX sessions_live_by_user ON sessions (tenant_id, user_id) WHERE revoked_at IS NULL;
CREATE INDEX sessions_revoked ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;
SELECT app.protect('sessions');
REVOKE DELETE ON sessions FROM cl_app;
SELECT app.allow_definer('sessions', 'SELECT, UPDATE');

CREATE TABLE signing_keys (
  kid text PRIMARY KEY,
  key_set text NOT NULL CHECK (key_set IN ('access')),
  public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
  private_enc bytea NOT NULL,
  state text NOT NULL CHECK (state IN ('NEXT', 'ACTIVE', 'RETIRING', 'RETIRED')),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  retire_at timestamptz,
  CHECK ((state IN ('RETIRING', 'RETIRED')) = (retire_at IS NOT NULL))
);
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (key_set) WHERE state = 'ACTIVE';
CREATE UNIQUE INDEX signing_keys_one_next ON signing_keys (key_set) WHERE state = 'NEXT';
GRANT SELECT, INSERT, UPDATE ON signing_keys TO cl_app;
"""

_AUTH_FUNCTIONS = """
CREATE FUNCTION app.auth_register(p_tenant uuid, p_user uuid, p_display_name text, p_email text, p_hash text,
                                  p_terms text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  INSERT INTO public.users (id, email, password_hash) VALUES (p_user, p_email, p_hash)
    ON CONFLICT (email) DO NOTHING;
  IF NOT FOUND THEN RETURN false; END IF;
  INSERT INTO public.tenants (id, display_name, terms_version) VALUES (p_tenant, p_display_name, p_terms);
  INSERT INTO public.tenant_users (tenant_id, user_id, role) VALUES (p_tenant, p_user, 'owner');
  RETURN true;
END $$;
SELECT app.define('app.auth_register(uuid, uuid, text, text, text, text)');

CREATE FUNCTION app.auth_login(p_email text)
RETURNS TABLE (user_id uuid, password_hash text, user_status text, tenant_id uuid, role text, ver integer,
               tver integer, tenant_status text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT u.id, u.password_hash, u.status, t.id, m.role, m.ver, t.tver, t.status
    FROM public.users u LEFT JOIN public.tenant_users m ON m.user_id = u.id
    LEFT JOIN public.tenants t ON t.id = m.tenant_id
   WHERE u.email = p_email ORDER BY m.created_at, t.id
$$;
SELECT app.define('app.auth_login(text)');

CREATE FUNCTION app.auth_logged_in(p_user uuid, p_old_hash text, p_new_hash text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  UPDATE public.users SET last_login_at = clock_timestamp(),
         password_hash = CASE WHEN password_hash = p_old_hash THEN p_new_hash ELSE password_hash END
   WHERE id = p_user
$$;
SELECT app.define('app.auth_logged_in(uuid, text, text)');

CREATE FUNCTION app.auth_session(p_session uuid)
RETURNS TABLE (tenant_id uuid, user_id uuid, refresh_counter bigint, refresh_key_enc bytea, used_gen bigint,
               refreshed_age_s double precision, expires_in_s double precision, revoked boolean,
               user_status text, tenant_status text, role text, ver integer, tver integer)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT s.tenant_id, s.user_id, s.refresh_counter, s.refresh_key_enc, s.used_gen,
         extract(epoch FROM clock_timestamp() - s.last_refreshed_at),
         extract(epoch FROM least(s.idle_expires_at, s.absolute_expires_at) - clock_timestamp()),
         s.revoked_at IS NOT NULL, u.status, t.status, m.role, m.ver, t.tver
    FROM public.sessions s JOIN public.users u ON u.id = s.user_id JOIN public.tenants t ON t.id = s.tenant_id
    LEFT JOIN public.tenant_users m ON m.tenant_id = s.tenant_id AND m.user_id = s.user_id
   WHERE s.id = p_session
$$;
SELECT app.define('app.auth_session(uuid)');

CREATE FUNCTION app.auth_session_dead(p_session uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT NOT EXISTS (SELECT 1 FROM public.sessions WHERE id = p_session AND revoked_at IS NULL)
$$;
SELECT app.define('app.auth_session_dead(uuid)');

CREATE FUNCTION app.auth_revoked_since(p_seconds integer) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT id FROM public.sessions WHERE revoked_at > clock_timestamp() - make_interval(secs => p_seconds)
$$;
SELECT app.define('app.auth_revoked_since(integer)');

CREATE FUNCTION app.auth_mark_used(p_sessions uuid[], p_generations bigint[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  UPDATE public.sessions s SET used_gen = n.generation
    FROM unnest(p_sessions, p_generations) AS n (id, generation)
   WHERE s.id = n.id AND s.used_gen < n.generation
$$;
SELECT app.define('app.auth_mark_used(uuid[], bigint[])');

CREATE FUNCTION app.auth_me(p_tenant uuid, p_user uuid)
RETURNS TABLE (tenant_display_name text, created_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT t.display_name, u.created_at FROM public.tenant_users m JOIN public.tenants t ON t.id = m.tenant_id
    JOIN public.users u ON u.id = m.user_id WHERE m.tenant_id = p_tenant AND m.user_id = p_user
$$;
SELECT app.define('app.auth_me(uuid, uuid)');
"""

_OUTBOX = """
CREATE TABLE outbox (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  id uuid NOT NULL,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  topic text NOT NULL,
  key text NOT NULL,
  payload jsonb NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  available_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  claimed_by text,
  lease_until timestamptz,
  last_error text,
  done_at timestamptz,
  dead_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX outbox_open ON outbox (xid, id) WHERE done_at IS NULL AND dead_at IS NULL;
CREATE INDEX outbox_open_by_key ON outbox (tenant_id, key, xid, id) WHERE done_at IS NULL AND dead_at IS NULL;
CREATE INDEX outbox_done ON outbox (done_at) WHERE done_at IS NOT NULL;
SELECT app.protect('outbox');
REVOKE UPDATE, DELETE ON outbox FROM cl_app;
SELECT app.allow_definer('outbox', 'SELECT, UPDATE, DELETE');

CREATE FUNCTION app.outbox_claim(p_worker text, p_topics text[], p_limit integer, p_lease_s double precision,
                                 p_max_attempts integer)
RETURNS TABLE (tenant_id uuid, id uuid, topic text, key text, payload jsonb, attempts integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  -- A worker that dies each time it handles an event never reports a failure: the count of claims ends it.
  UPDATE public.outbox o
     SET dead_at = clock_timestamp(), last_error = coalesce(o.last_error, 'the worker died in every attempt')
   WHERE o.done_at IS NULL AND o.dead_at IS NULL AND o.attempts >= p_max_attempts AND o.topic = ANY (p_topics)
     AND o.lease_until < clock_timestamp();
  RETURN QUERY
  WITH due AS (
    SELECT o.tenant_id, o.id FROM public.outbox o
     WHERE o.done_at IS NULL AND o.dead_at IS NULL AND o.topic = ANY (p_topics)
       AND o.available_at <= clock_timestamp()
       AND (o.lease_until IS NULL OR o.lease_until < clock_timestamp())
       -- Ids are taken before commit, so a later id could overtake an open transaction; the snapshot cannot.
       AND o.xid < pg_snapshot_xmin(pg_current_snapshot())
       AND NOT EXISTS (SELECT 1 FROM public.outbox e
                        WHERE e.tenant_id = o.tenant_id AND e.key = o.key AND e.done_at IS NULL
                          AND e.dead_at IS NULL AND (e.xid, e.id) < (o.xid, o.id))
     ORDER BY o.xid, o.id LIMIT p_limit FOR UPDATE OF o SKIP LOCKED)
  UPDATE public.outbox o
     SET attempts = o.attempts + 1, claimed_by = p_worker,
         lease_until = clock_timestamp() + make_interval(secs => p_lease_s)
    FROM due WHERE o.tenant_id = due.tenant_id AND o.id = due.id
  RETURNING o.tenant_id, o.id, o.topic, o.key, o.payload, o.attempts;
END $$;
SELECT app.define('app.outbox_claim(text, text[], integer, double precision, integer)');

CREATE FUNCTION app.outbox_settle(p_tenant uuid, p_id uuid, p_worker text, p_attempts integer) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH settled AS (
    UPDATE public.outbox SET done_at = clock_timestamp(), lease_until = NULL
     WHERE tenant_id = p_tenant AND id = p_id AND claimed_by = p_worker AND attempts = p_attempts
       AND done_at IS NULL AND dead_at IS NULL RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM settled)
$$;
SELECT app.define('app.outbox_settle(uuid, uuid, text, integer)');

CREATE FUNCTION app.outbox_extend(p_tenant uuid, p_id uuid, p_worker text, p_attempts integer,
                                  p_lease_s double precision) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH extended AS (
    UPDATE public.outbox SET lease_until = clock_timestamp() + make_interval(secs => p_lease_s)
     WHERE tenant_id = p_tenant AND id = p_id AND claimed_by = p_worker AND attempts = p_attempts
       AND done_at IS NULL AND dead_at IS NULL RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM extended)
$$;
SELECT app.define('app.outbox_extend(uuid, uuid, text, integer, double precision)');

CREATE FUNCTION app.outbox_fail(p_tenant uuid, p_id uuid, p_worker text, p_attempts integer, p_error text,
                                p_retry_in_s double precision) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH failed AS (
    UPDATE public.outbox
       SET last_error = p_error, lease_until = NULL,
           dead_at = CASE WHEN p_retry_in_s IS NULL THEN clock_timestamp() END,
           available_at = clock_timestamp() + make_interval(secs => coalesce(p_retry_in_s, 0))
     WHERE tenant_id = p_tenant AND id = p_id AND claimed_by = p_worker AND attempts = p_attempts
       AND done_at IS NULL AND dead_at IS NULL RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM failed)
$$;
SELECT app.define('app.outbox_fail(uuid, uuid, text, integer, text, double precision)');

CREATE FUNCTION app.outbox_purge(p_keep_s integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM public.outbox WHERE done_at < clock_timestamp() - make_interval(secs => p_keep_s) RETURNING 1)
  SELECT count(*) FROM gone
$$;
SELECT app.define('app.outbox_purge(integer)');
"""
