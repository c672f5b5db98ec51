"""The platform's own tenant, the key of each tenant, and how sealed values get under a new key."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0007_tenant_keys"
down_revision = "0006_active_models"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Mark the platform's tenant and add it; give tenants a key and sealed columns a way to a new one."""
    for script in (_SCRIPT, _KEYS, _RESEALING):
        run_script(script)


_SCRIPT = """
ALTER TABLE tenants ADD COLUMN kind text NOT NULL DEFAULT 'CUSTOMER' CHECK (kind IN ('CUSTOMER', 'PLATFORM'));
CREATE UNIQUE INDEX tenants_one_platform ON tenants (kind) WHERE kind = 'PLATFORM';
ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY;
INSERT INTO tenants (id, display_name, terms_version, kind)
  VALUES ('00000000-0000-7000-8000-000000000000', 'Platform', '-', 'PLATFORM');
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
ALTER TABLE tenant_users DROP CONSTRAINT tenant_users_role_check;
ALTER TABLE tenant_users ADD CONSTRAINT tenant_users_role_check
  CHECK (role IN ('owner', 'admin', 'analyst', 'viewer', 'platform'));
"""

_KEYS = """
ALTER TABLE tenants
  ADD COLUMN key_wrapped bytea CHECK (octet_length(key_wrapped) BETWEEN 60 AND 200),
  ADD COLUMN key_destroyed_at timestamptz,
  ADD CONSTRAINT tenants_key_is_destroyed_for_good CHECK (key_destroyed_at IS NULL OR key_wrapped IS NULL);
CREATE INDEX tenants_without_key ON tenants (id) WHERE key_wrapped IS NULL AND key_destroyed_at IS NULL;
GRANT UPDATE ON tenants TO cl_definer;

-- A transaction of another tenant gets nothing; one of no tenant (log-in, registration, upkeep) may.
CREATE FUNCTION app.tenant_key(p_tenant uuid)
RETURNS TABLE (key_wrapped bytea, destroyed boolean, own boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT t.key_wrapped, t.key_destroyed_at IS NOT NULL,
         t.xmin = coalesce(pg_current_xact_id_if_assigned()::xid, '0'::xid)
    FROM public.tenants t WHERE t.id = p_tenant AND (app.tid() IS NULL OR app.tid() = p_tenant)
$$;
SELECT app.define('app.tenant_key(uuid)');

CREATE FUNCTION app.tenant_key_make(p_tenant uuid, p_wrapped bytea) RETURNS TABLE (destroyed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  UPDATE public.tenants SET key_wrapped = p_wrapped
   WHERE id = p_tenant AND key_wrapped IS NULL AND key_destroyed_at IS NULL
     AND (app.tid() IS NULL OR app.tid() = p_tenant);
  RETURN QUERY SELECT t.key_destroyed_at IS NOT NULL FROM public.tenants t
   WHERE t.id = p_tenant AND (app.tid() IS NULL OR app.tid() = p_tenant);
END $$;
SELECT app.define('app.tenant_key_make(uuid, bytea)');

CREATE FUNCTION app.tenant_keys_missing(p_limit integer) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT id FROM public.tenants WHERE key_wrapped IS NULL AND key_destroyed_at IS NULL
   ORDER BY id LIMIT p_limit
$$;
SELECT app.define('app.tenant_keys_missing(integer)');

CREATE FUNCTION app.tenant_key_destroy(p_tenant uuid) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH destroyed AS (
    UPDATE public.tenants SET key_wrapped = NULL, key_destroyed_at = clock_timestamp()
     WHERE id = p_tenant AND key_destroyed_at IS NULL AND kind = 'CUSTOMER'
       AND (app.tid() IS NULL OR app.tid() = p_tenant) RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM destroyed)
$$;
SELECT app.define('app.tenant_key_destroy(uuid)');
"""

# Whoever may call these reads and replaces sealed values only: of columns that a migration has named, and a
# replacement names the value it replaces. Opening them takes the installation's key.
_RESEALING = """
CREATE TABLE app.resealed_columns (
  target regclass NOT NULL,
  column_name name NOT NULL,
  PRIMARY KEY (target, column_name)
);
GRANT SELECT ON app.resealed_columns TO cl_definer;

CREATE FUNCTION app.allow_resealing(p_target regclass, p_column name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = p_target AND attname = p_column
                  AND atttypid = 'bytea'::regtype AND NOT attisdropped) THEN
    RAISE EXCEPTION '% has no column % of type bytea', p_target, p_column USING ERRCODE = '42703';
  END IF;
  INSERT INTO app.resealed_columns VALUES (p_target, p_column);
  EXECUTE format('GRANT SELECT, UPDATE (%I) ON %s TO cl_definer', p_column, p_target);
  IF (SELECT relrowsecurity FROM pg_class WHERE oid = p_target)
     AND NOT EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = p_target AND polname = 'definer') THEN
    EXECUTE format('CREATE POLICY definer ON %s TO cl_definer USING (true) WITH CHECK (true)', p_target);
  END IF;
END $$;
COMMENT ON FUNCTION app.allow_resealing(regclass, name) IS
  'Name a column whose values are sealed under the installation''s key, so that a change of it reaches them.';

CREATE FUNCTION app.sealed_columns() RETURNS TABLE (target text, column_name text, key_columns text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
  SELECT c.relname::text, r.column_name::text,
         (SELECT array_agg(a.attname::text ORDER BY k.ord) FROM pg_index i
            CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, ord)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
           WHERE i.indrelid = r.target AND i.indisprimary)
    FROM app.resealed_columns r JOIN pg_class c ON c.oid = r.target ORDER BY 1, 2
$$;
SELECT app.define('app.sealed_columns()');

CREATE FUNCTION app.sealed_key_terms(p_target text, p_column text,
                                     OUT names text, OUT terms text, OUT pairs text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  SELECT string_agg(format('t.%I', a.attname), ', ' ORDER BY k.ord),
         string_agg(format('($1->>%L)::%s', a.attname, format_type(a.atttypid, a.atttypmod)), ', '
                    ORDER BY k.ord),
         string_agg(format('%L, t.%I', a.attname, a.attname), ', ' ORDER BY k.ord)
    INTO names, terms, pairs
    FROM app.resealed_columns r
    JOIN pg_index i ON i.indrelid = r.target AND i.indisprimary
    CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, ord)
    JOIN pg_attribute a ON a.attrelid = r.target AND a.attnum = k.attnum
   WHERE r.target = to_regclass('public.' || quote_ident(p_target)) AND r.column_name = p_column;
  IF names IS NULL THEN
    RAISE EXCEPTION '%.% is not a column of sealed values', p_target, p_column USING ERRCODE = '42703';
  END IF;
END $$;
SELECT app.define('app.sealed_key_terms(text, text)');

-- A window of rows in the order of the key, so that no statement grows with the table; a value that starts
-- with p_head (sealed under the current key) is left out of its row.
CREATE FUNCTION app.sealed_page(p_target text, p_column text, p_after jsonb, p_limit integer, p_head bytea)
RETURNS TABLE (key jsonb, sealed bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE part record;
BEGIN
  SELECT * INTO part FROM app.sealed_key_terms(p_target, p_column);
  RETURN QUERY EXECUTE format(
    'SELECT jsonb_build_object(%s), CASE WHEN substring(t.%I FROM 1 FOR length($3)) <> $3 THEN t.%I END '
    'FROM public.%I t WHERE ($1 IS NULL OR (%s) > (%s)) ORDER BY %s LIMIT $2',
    part.pairs, p_column, p_column, p_target, part.names, part.terms, part.names)
    USING p_after, p_limit, p_head;
END $$;
SELECT app.define('app.sealed_page(text, text, jsonb, integer, bytea)');

-- How many values of a window start with which five bytes: version and key. The last row's key leads on.
CREATE FUNCTION app.sealed_counts(p_target text, p_column text, p_after jsonb, p_limit integer)
RETURNS TABLE (head bytea, number bigint, last jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE part record;
BEGIN
  SELECT * INTO part FROM app.sealed_key_terms(p_target, p_column);
  RETURN QUERY EXECUTE format(
    'WITH seen AS (SELECT row_number() OVER (ORDER BY %s) AS place, jsonb_build_object(%s) AS key, '
    'substring(t.%I FROM 1 FOR 5) AS head FROM public.%I t WHERE ($1 IS NULL OR (%s) > (%s)) '
    'ORDER BY %s LIMIT $2) SELECT s.head, count(*), (SELECT l.key FROM seen l ORDER BY l.place DESC LIMIT 1) '
    'FROM seen s GROUP BY s.head',
    part.names, part.pairs, p_column, p_target, part.names, part.terms, part.names) USING p_after, p_limit;
END $$;
SELECT app.define('app.sealed_counts(text, text, jsonb, integer)');

CREATE FUNCTION app.sealed_swap(p_target text, p_column text, p_keys jsonb[], p_old bytea[], p_new bytea[])
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE part record; swapped integer := 0; hit integer;
BEGIN
  SELECT * INTO part FROM app.sealed_key_terms(p_target, p_column);
  FOR place IN 1 .. coalesce(cardinality(p_keys), 0) LOOP
    EXECUTE format('UPDATE public.%I t SET %I = $3 WHERE (%s) = (%s) AND t.%I = $2',
                   p_target, p_column, part.names, part.terms, p_column)
      USING p_keys[place], p_old[place], p_new[place];
    GET DIAGNOSTICS hit = ROW_COUNT;
    swapped := swapped + hit;
  END LOOP;
  RETURN swapped;
END $$;
SELECT app.define('app.sealed_swap(text, text, jsonb[], bytea[], bytea[])');

SELECT app.allow_resealing('tenants', 'key_wrapped');
SELECT app.allow_resealing('signing_keys', 'private_enc');
SELECT app.allow_resealing('sessions', 'refresh_key_enc');
"""
