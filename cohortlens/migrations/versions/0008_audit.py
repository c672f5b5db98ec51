"""The audit log: heads, chained rows, checkpoints, exports; the access log and its sealed minutes.

Rows enter by functions of ``cl_definer`` only. The chain references no tenant: evidence outlives it.
"""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0008_audit"
down_revision = "0007_tenant_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the tables of the audit log and its one way in."""
    for script in (_CHAIN, _APPEND, _ACCESS, _PARTITIONS, _DROP):
        run_script(script)


_CHAIN = """
CREATE TABLE audit_heads (
  tenant_id uuid PRIMARY KEY,
  seq bigint NOT NULL CHECK (seq >= 0),
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  last_at timestamptz NOT NULL
) WITH (fillfactor = 50);
SELECT app.protect('audit_heads');
REVOKE INSERT, UPDATE, DELETE ON audit_heads FROM cl_app;
SELECT app.allow_definer('audit_heads', 'SELECT, INSERT, UPDATE');

CREATE TABLE audit_log (
  tenant_id uuid NOT NULL,
  created_at timestamptz NOT NULL,
  seq bigint NOT NULL CHECK (seq >= 1),
  previous_hash bytea NOT NULL CHECK (octet_length(previous_hash) = 32),
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  canonical bytea NOT NULL,
  actor text NOT NULL,
  on_behalf_of text NOT NULL,
  action text NOT NULL,
  resource text NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('OK', 'DENIED', 'FAILED')),
  request_id text NOT NULL,
  PRIMARY KEY (tenant_id, created_at, seq)
) PARTITION BY RANGE (created_at);
SELECT app.protect('audit_log');
REVOKE INSERT, UPDATE, DELETE ON audit_log FROM cl_app;
SELECT app.allow_definer('audit_log', 'SELECT, INSERT');

CREATE TABLE audit_checkpoints (
  tenant_id uuid NOT NULL,
  seq bigint NOT NULL CHECK (seq >= 1),
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  created_at timestamptz NOT NULL,
  kid text NOT NULL,
  signature bytea NOT NULL CHECK (octet_length(signature) = 64),
  PRIMARY KEY (tenant_id, seq)
);
SELECT app.protect('audit_checkpoints');
REVOKE UPDATE, DELETE ON audit_checkpoints FROM cl_app;
SELECT app.allow_definer('audit_checkpoints', 'SELECT');

CREATE TABLE audit_exports (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED')),
  from_seq bigint NOT NULL CHECK (from_seq >= 1),
  to_seq bigint NOT NULL,
  written_seq bigint NOT NULL DEFAULT 0,
  written_bytes bigint NOT NULL DEFAULT 0,
  sha256 text NOT NULL DEFAULT '',
  error_reason text NOT NULL DEFAULT '',
  error_message text NOT NULL DEFAULT '',
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  CHECK (to_seq >= from_seq),
  CHECK ((state IN ('SUCCEEDED', 'FAILED')) = (ended_at IS NOT NULL))
);
SELECT app.protect('audit_exports');
SELECT app.allow_definer('audit_exports', 'SELECT');

CREATE FUNCTION app.audit_immutable() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are never changed or removed', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;
"""

_APPEND = """
CREATE FUNCTION app.audit_append(p_canonical bytea) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  tenant uuid := app.tid(); head public.audit_heads; at timestamptz; chained bytea; entry jsonb;
BEGIN
  IF tenant IS NULL THEN
    RAISE EXCEPTION 'an audit row needs a tenant' USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF octet_length(p_canonical) NOT BETWEEN 2 AND 16384 THEN
    RAISE EXCEPTION 'an audit row has at most 16384 bytes' USING ERRCODE = 'check_violation';
  END IF;
  entry := convert_from(p_canonical, 'UTF8')::jsonb;
  -- The lock makes writers of a tenant wait for one another until they commit: a chain cannot fork.
  SELECT * INTO head FROM public.audit_heads WHERE tenant_id = tenant FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO public.audit_heads (tenant_id, seq, hash, last_at)
      VALUES (tenant, 0, decode(repeat('00', 32), 'hex'), '-infinity') ON CONFLICT DO NOTHING;
    SELECT * INTO head FROM public.audit_heads WHERE tenant_id = tenant FOR UPDATE;
  END IF;
  -- Read after the lock, so that times never go back, whatever the clock does.
  at := greatest(clock_timestamp(), head.last_at + interval '1 microsecond');
  chained := sha256('CLA1'::bytea || uuid_send(tenant) || head.hash || int8send(head.seq + 1)
                    || int8send((extract(epoch FROM at) * 1000000)::bigint) || p_canonical);
  INSERT INTO public.audit_log (tenant_id, created_at, seq, previous_hash, hash, canonical,
                                actor, on_behalf_of, action, resource, outcome, request_id)
    VALUES (tenant, at, head.seq + 1, head.hash, chained, p_canonical,
            entry ->> 'actor', entry ->> 'on_behalf_of', entry ->> 'action', entry ->> 'resource',
            entry ->> 'outcome', entry ->> 'request_id');
  UPDATE public.audit_heads SET seq = head.seq + 1, hash = chained, last_at = at WHERE tenant_id = tenant;
  RETURN head.seq + 1;
END $$;
COMMENT ON FUNCTION app.audit_append(bytea) IS
  'Add a row to the chain of the transaction''s tenant; holds its head until the commit, so call it last.';
SELECT app.define('app.audit_append(bytea)');

CREATE FUNCTION app.audit_unsealed() RETURNS TABLE (tenant_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT h.tenant_id FROM public.audit_heads h WHERE h.seq > 0 AND NOT EXISTS (
    SELECT 1 FROM public.audit_checkpoints c WHERE c.tenant_id = h.tenant_id AND c.seq = h.seq)
$$;
COMMENT ON FUNCTION app.audit_unsealed() IS 'Tenants whose newest row has no checkpoint.';
SELECT app.define('app.audit_unsealed()');

CREATE FUNCTION app.audit_boundaries(p_from timestamptz, p_until timestamptz)
RETURNS TABLE (tenant_id uuid, seq bigint, sealed boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT l.tenant_id, max(l.seq), EXISTS (
    SELECT 1 FROM public.audit_checkpoints c WHERE c.tenant_id = l.tenant_id AND c.seq = max(l.seq))
    FROM public.audit_log l WHERE l.created_at >= p_from AND l.created_at < p_until GROUP BY l.tenant_id
$$;
COMMENT ON FUNCTION app.audit_boundaries(timestamptz, timestamptz) IS
  'The last row of each tenant in a span of time, and whether a checkpoint seals it.';
SELECT app.define('app.audit_boundaries(timestamptz, timestamptz)');
"""

_ACCESS = """
CREATE TABLE access_log (
  tenant_id uuid NOT NULL,
  created_at timestamptz NOT NULL,
  id uuid NOT NULL,
  canonical bytea NOT NULL CHECK (octet_length(canonical) <= 65536),
  PRIMARY KEY (tenant_id, created_at, id)
) PARTITION BY RANGE (created_at);
SELECT app.protect('access_log');
REVOKE INSERT, UPDATE, DELETE ON access_log FROM cl_app;
SELECT app.allow_definer('access_log', 'SELECT, INSERT');

CREATE TABLE access_minutes (
  tenant_id uuid NOT NULL,
  minute timestamptz NOT NULL,
  seq bigint,
  PRIMARY KEY (tenant_id, minute)
);
CREATE INDEX access_minutes_open ON access_minutes (minute) WHERE seq IS NULL;
SELECT app.protect('access_minutes');
REVOKE INSERT, UPDATE, DELETE ON access_minutes FROM cl_app;
SELECT app.allow_definer('access_minutes', 'SELECT, INSERT, UPDATE');

CREATE FUNCTION app.access_append(p_ids uuid[], p_canonicals bytea[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  tenant uuid := app.tid(); at timestamptz; sealed bigint; stored bigint;
BEGIN
  IF tenant IS NULL THEN
    RAISE EXCEPTION 'a row of the access log needs a tenant' USING ERRCODE = 'insufficient_privilege';
  END IF;
  LOOP
    at := clock_timestamp();
    INSERT INTO public.access_minutes (tenant_id, minute) VALUES (tenant, date_trunc('minute', at))
      ON CONFLICT DO NOTHING;
    -- Held until the commit: whoever seals the minute waits for it, and no row comes after the seal.
    SELECT m.seq INTO sealed FROM public.access_minutes m
     WHERE m.tenant_id = tenant AND m.minute = date_trunc('minute', at) FOR SHARE;
    EXIT WHEN sealed IS NULL;
  END LOOP;
  INSERT INTO public.access_log (tenant_id, created_at, id, canonical)
    SELECT tenant, at, n.id, n.canonical FROM unnest(p_ids, p_canonicals) AS n (id, canonical);
  GET DIAGNOSTICS stored = ROW_COUNT;
  RETURN stored;
END $$;
SELECT app.define('app.access_append(uuid[], bytea[])');

CREATE FUNCTION app.access_open_minutes(p_limit integer) RETURNS TABLE (tenant_id uuid, minute timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT m.tenant_id, m.minute FROM public.access_minutes m
   WHERE m.seq IS NULL AND m.minute < date_trunc('minute', clock_timestamp()) ORDER BY m.minute LIMIT p_limit
$$;
SELECT app.define('app.access_open_minutes(integer)');

CREATE FUNCTION app.access_lock(p_minute timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM 1 FROM public.access_minutes WHERE tenant_id = app.tid() AND minute = p_minute AND seq IS NULL
     AND minute < date_trunc('minute', clock_timestamp()) FOR UPDATE;
  RETURN FOUND;
END $$;
COMMENT ON FUNCTION app.access_lock(timestamptz) IS
  'Wait for the writers of an ended minute and keep others out; false when it is sealed already.';
SELECT app.define('app.access_lock(timestamptz)');

CREATE FUNCTION app.access_sealed(p_minute timestamptz, p_seq bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  UPDATE public.access_minutes SET seq = p_seq
   WHERE tenant_id = app.tid() AND minute = p_minute AND seq IS NULL
$$;
SELECT app.define('app.access_sealed(timestamptz, bigint)');
"""

_PARTITIONS = """
CREATE FUNCTION app.access_log_begins() RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog SET timezone = 'UTC' AS $$
  SELECT coalesce(min(to_timestamp(right(c.relname, 7), 'YYYY"m"MM')), 'infinity')
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
   WHERE i.inhparent = 'public.access_log'::regclass
$$;
COMMENT ON FUNCTION app.access_log_begins() IS 'When the oldest month that is still there begins.';
GRANT EXECUTE ON FUNCTION app.access_log_begins() TO cl_app;

CREATE FUNCTION app.finish_partition(parent regclass, part regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF parent = to_regclass('public.audit_log') THEN
    EXECUTE format('CREATE UNIQUE INDEX ON %s (tenant_id, seq)', part);
  END IF;
  IF parent IN (to_regclass('public.audit_log'), to_regclass('public.access_log')) THEN
    -- A trigger per statement is not handed down to partitions as those per row are.
    EXECUTE format('CREATE TRIGGER never_emptied BEFORE TRUNCATE ON %s '
                   'EXECUTE FUNCTION app.audit_immutable()', part);
  END IF;
END $$;
COMMENT ON FUNCTION app.finish_partition(regclass, regclass) IS
  'Give a new partition what PostgreSQL does not hand down from its parent.';

CREATE OR REPLACE FUNCTION app.ensure_partitions_from(
  target regclass, months_ahead integer, since timestamptz)
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
    PERFORM app.finish_partition(target, part::regclass);
    -- ATTACH lets readers and writers of the parent go on; CREATE ... PARTITION OF would stop them.
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
                   target, part, lower_bound, upper_bound);
    made := made + 1;
  END LOOP;
  RETURN made;
END $$;

CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE ON audit_log
  FOR EACH ROW EXECUTE FUNCTION app.audit_immutable();
CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE ON access_log
  FOR EACH ROW EXECUTE FUNCTION app.audit_immutable();
CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE ON audit_checkpoints
  FOR EACH ROW EXECUTE FUNCTION app.audit_immutable();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_log EXECUTE FUNCTION app.audit_immutable();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON access_log EXECUTE FUNCTION app.audit_immutable();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_checkpoints EXECUTE FUNCTION app.audit_immutable();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_heads EXECUTE FUNCTION app.audit_immutable();
SELECT app.ensure_partitions('audit_log', 3);
SELECT app.ensure_partitions('access_log', 3);
"""

_DROP = """
CREATE FUNCTION app.access_minutes_open_in(p_from timestamptz, p_until timestamptz) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT count(*) FROM public.access_minutes WHERE seq IS NULL AND minute >= p_from AND minute < p_until
$$;
SELECT app.define('app.access_minutes_open_in(timestamptz, timestamptz)');
SET LOCAL ROLE cl_definer;
GRANT EXECUTE ON FUNCTION app.audit_boundaries(timestamptz, timestamptz) TO cl_owner;
GRANT EXECUTE ON FUNCTION app.access_minutes_open_in(timestamptz, timestamptz) TO cl_owner;
RESET ROLE;

-- For the owner alone: the runtime role must not be able to remove evidence, sealed or not.
CREATE FUNCTION app.audit_drop_month(target regclass, p_month date) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog SET timezone = 'UTC' AS $$
DECLARE
  since timestamptz := date_trunc('month', p_month)::timestamptz;
  until timestamptz := since + interval '1 month';
  part regclass := to_regclass('public.' || quote_ident(
    (SELECT relname FROM pg_class WHERE oid = target) || to_char(since, '"_y"YYYY"m"MM')));
  unsealed bigint;
BEGIN
  IF target NOT IN ('public.audit_log'::regclass, 'public.access_log'::regclass) OR part IS NULL THEN
    RAISE EXCEPTION '% has no partition for %', target, to_char(since, 'YYYY-MM') USING ERRCODE = '22023';
  END IF;
  IF EXISTS (SELECT 1 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
              WHERE i.inhparent = target AND c.relname < (SELECT relname FROM pg_class WHERE oid = part)) THEN
    RAISE EXCEPTION 'an older month of % is still there; remove that one first', target
      USING ERRCODE = '55000';
  END IF;
  IF until > clock_timestamp() THEN
    RAISE EXCEPTION 'the month % has not ended', to_char(since, 'YYYY-MM') USING ERRCODE = '55000';
  END IF;
  IF target = 'public.audit_log'::regclass THEN
    SELECT count(*) INTO unsealed FROM app.audit_boundaries(since, until) b WHERE NOT b.sealed;
  ELSE
    unsealed := app.access_minutes_open_in(since, until);
  END IF;
  IF unsealed > 0 THEN
    RAISE EXCEPTION '% chains or minutes of % are not sealed yet', unsealed, to_char(since, 'YYYY-MM')
      USING ERRCODE = '55000', HINT = 'The jobs process seals ended months within the hour.';
  END IF;
  EXECUTE format('DROP TABLE %s', part);
  RETURN 1;
END $$;
COMMENT ON FUNCTION app.audit_drop_month(regclass, date) IS
  'Remove an ended month of audit_log or access_log whose every chain a checkpoint seals at its last row.';
"""
