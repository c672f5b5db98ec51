"""Invitations, members of a tenant, what a tenant may set, its deletion and its erasure."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0011_users"
down_revision = "0010_login"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Extend tenants and memberships; add invitations, the functions of users and platform, the erasure."""
    for script in (_TENANTS, _MEMBERS, _MEMBERSHIP, _INVITATIONS, _PLATFORM, _ERASURE):
        run_script(script)


_TENANTS = """
ALTER TABLE tenants
  ADD COLUMN settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
  ADD COLUMN retention_days integer NOT NULL DEFAULT 0 CHECK (retention_days BETWEEN 0 AND 3650),
  ADD COLUMN row_version integer NOT NULL DEFAULT 1,
  ADD COLUMN erase_at timestamptz,
  ADD COLUMN erased_at timestamptz,
  DROP CONSTRAINT tenants_status_check,
  ADD CONSTRAINT tenants_status_check CHECK (status IN ('ACTIVE', 'SUSPENDED', 'DELETING', 'ERASED')),
  ADD CONSTRAINT tenants_erasure CHECK ((status IN ('DELETING', 'ERASED')) = (erase_at IS NOT NULL)),
  ADD CONSTRAINT tenants_erased CHECK ((status = 'ERASED') = (erased_at IS NOT NULL)),
  ADD CONSTRAINT tenants_platform_stays CHECK (kind = 'CUSTOMER' OR status = 'ACTIVE');
COMMENT ON COLUMN tenants.terms_version IS 'Accepted version of the terms; empty until an owner has come.';
COMMENT ON COLUMN tenants.retention_days IS 'Days for which predictions are kept; 0: all.';
-- The policy of the table lets a transaction reach its own tenant only.
GRANT UPDATE (display_name, settings, retention_days, terms_version, terms_at, row_version, status, erase_at)
  ON tenants TO cl_app;
CREATE INDEX tenants_to_erase ON tenants (erase_at) WHERE status = 'DELETING';

CREATE FUNCTION app.tenants_with_retention()
RETURNS TABLE (tenant_id uuid, retention_days integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT id, retention_days FROM public.tenants WHERE retention_days > 0 AND status <> 'ERASED'
$$;
SELECT app.define('app.tenants_with_retention()');
"""

_MEMBERS = """
ALTER TABLE tenant_users ADD COLUMN invited_by uuid;
COMMENT ON COLUMN tenant_users.invited_by IS 'The user who invited, who may have left since; NULL: nobody.';
GRANT UPDATE, DELETE ON tenant_users TO cl_definer;
GRANT DELETE ON users TO cl_definer;

-- Addresses lie in a table that only functions reach; this one shows those of the transaction's tenant.
CREATE FUNCTION app.members(p_user uuid, p_role text, p_after timestamptz, p_after_user uuid, p_limit integer)
RETURNS TABLE (user_id uuid, email text, role text, status text, ver integer, created_at timestamptz,
               last_login_at timestamptz, invited_by uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT m.user_id, u.email, m.role, u.status, m.ver, m.created_at, u.last_login_at, m.invited_by
    FROM public.tenant_users m JOIN public.users u ON u.id = m.user_id
   WHERE m.tenant_id = app.tid() AND (p_user IS NULL OR m.user_id = p_user)
     AND (p_role IS NULL OR m.role = p_role)
     AND (p_after IS NULL OR (m.created_at, m.user_id) > (p_after, p_after_user))
   ORDER BY m.created_at, m.user_id LIMIT p_limit
$$;
SELECT app.define('app.members(uuid, text, timestamptz, uuid, integer)');

DROP FUNCTION app.auth_me(uuid, uuid);
CREATE FUNCTION app.auth_me(p_tenant uuid, p_user uuid)
RETURNS TABLE (tenant_display_name text, created_at timestamptz, email text, status text,
               last_login_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT t.display_name, u.created_at, u.email, u.status, u.last_login_at
    FROM public.tenant_users m JOIN public.tenants t ON t.id = m.tenant_id
    JOIN public.users u ON u.id = m.user_id WHERE m.tenant_id = p_tenant AND m.user_id = p_user
$$;
SELECT app.define('app.auth_me(uuid, uuid)');

CREATE FUNCTION app.users_forget(p_users uuid[]) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM public.users u WHERE u.id = ANY (p_users)
       AND NOT EXISTS (SELECT 1 FROM public.tenant_users m WHERE m.user_id = u.id) RETURNING 1)
  SELECT count(*) FROM gone
$$;
SELECT app.define('app.users_forget(uuid[])');
COMMENT ON FUNCTION app.users_forget(uuid[]) IS 'Delete the users that belong to no tenant any more.';
"""

# cl_app may not write to tenant_users: these reach the transaction's tenant alone, one user at a time, and
# keep it an owner, whatever statement somebody may bring in.
_MEMBERSHIP = """
CREATE FUNCTION app.members_lock(p_user uuid) RETURNS TABLE (user_id uuid, role text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT m.user_id, m.role FROM public.tenant_users m
   WHERE m.tenant_id = app.tid()
     AND CASE WHEN p_user IS NULL THEN m.role = 'owner' ELSE m.user_id = p_user END
   ORDER BY m.user_id FOR UPDATE
$$;
COMMENT ON FUNCTION app.members_lock(uuid) IS 'Lock a membership; those of all owners when no user is named.';

CREATE FUNCTION app.member_add(p_user uuid, p_role text, p_invited_by uuid) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH made AS (
    INSERT INTO public.tenant_users (tenant_id, user_id, role, invited_by)
      VALUES (app.tid(), p_user, p_role, p_invited_by) ON CONFLICT DO NOTHING RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM made)
$$;

CREATE FUNCTION app.member_set_role(p_user uuid, p_role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF p_role <> 'owner' AND ARRAY(SELECT l.user_id FROM app.members_lock(NULL) l) = ARRAY[p_user] THEN
    RAISE EXCEPTION 'a tenant keeps an owner' USING ERRCODE = 'check_violation';
  END IF;
  UPDATE public.tenant_users SET role = p_role WHERE tenant_id = app.tid() AND user_id = p_user;
END $$;

CREATE FUNCTION app.member_remove(p_user uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF ARRAY(SELECT l.user_id FROM app.members_lock(NULL) l) = ARRAY[p_user] THEN
    RAISE EXCEPTION 'a tenant keeps an owner' USING ERRCODE = 'check_violation';
  END IF;
  DELETE FROM public.tenant_users WHERE tenant_id = app.tid() AND user_id = p_user;
  PERFORM app.users_forget(ARRAY[p_user]);
END $$;
COMMENT ON FUNCTION app.member_remove(uuid) IS
  'End a membership; a user left without any tenant is forgotten.';
SELECT app.define('app.members_lock(uuid)'), app.define('app.member_add(uuid, text, uuid)'),
       app.define('app.member_set_role(uuid, text)'), app.define('app.member_remove(uuid)');
"""

_INVITATIONS = """
CREATE TABLE invitations (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  id uuid NOT NULL,
  email_enc bytea NOT NULL,
  email_bidx bytea NOT NULL CHECK (octet_length(email_bidx) = 32),
  role text NOT NULL CHECK (role IN ('owner', 'admin', 'analyst', 'viewer', 'platform')),
  invited_by uuid,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, email_bidx)
);
COMMENT ON TABLE invitations IS 'Open invitations; one that was accepted, replaced or revoked is deleted.';
CREATE INDEX invitations_ended ON invitations (expires_at);
SELECT app.protect('invitations');
SELECT app.allow_definer('invitations', 'SELECT, DELETE');

CREATE FUNCTION app.invitations_purge() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH gone AS (DELETE FROM public.invitations WHERE expires_at < clock_timestamp() RETURNING 1)
  SELECT count(*) FROM gone
$$;
SELECT app.define('app.invitations_purge()');

CREATE FUNCTION app.auth_invited_user(p_email text)
RETURNS TABLE (user_id uuid, is_active boolean, can_log_in boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT u.id, u.status = 'ACTIVE', u.password_hash IS NOT NULL AND u.email_verified_at IS NOT NULL
    FROM public.users u WHERE u.email = p_email
$$;
SELECT app.define('app.auth_invited_user(text)');

CREATE FUNCTION app.auth_user_join(p_user uuid, p_email text, p_hash text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  -- The token of an invitation was mailed to the address, which proves it.
  WITH made AS (
    INSERT INTO public.users (id, email, password_hash, email_verified_at)
      VALUES (p_user, p_email, p_hash, clock_timestamp()) ON CONFLICT (email) DO NOTHING RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM made)
$$;
SELECT app.define('app.auth_user_join(uuid, text, text)');
"""

_PLATFORM = """
CREATE FUNCTION app.platform_tenants(p_tenant uuid, p_status text, p_after uuid, p_limit integer)
RETURNS TABLE (tenant_id uuid, display_name text, status text, users bigint, created_at timestamptz,
               erase_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT t.id, t.display_name, t.status,
         (SELECT count(*) FROM public.tenant_users m WHERE m.tenant_id = t.id), t.created_at, t.erase_at
    FROM public.tenants t
   WHERE t.kind = 'CUSTOMER' AND (p_tenant IS NULL OR t.id = p_tenant)
     AND (p_status IS NULL OR t.status = p_status) AND (p_after IS NULL OR t.id > p_after)
   ORDER BY t.id LIMIT p_limit
$$;
SELECT app.define('app.platform_tenants(uuid, text, uuid, integer)');

CREATE FUNCTION app.tenant_create(p_tenant uuid, p_display_name text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  INSERT INTO public.tenants (id, display_name, terms_version) VALUES (p_tenant, p_display_name, '')
$$;
SELECT app.define('app.tenant_create(uuid, text)');
"""

_ERASURE = """
CREATE FUNCTION app.auth_deleted_tenants(p_user uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT t.id FROM public.tenant_users m JOIN public.tenants t ON t.id = m.tenant_id
   WHERE m.user_id = p_user AND m.role = 'owner' AND t.status = 'DELETING'
     -- From then on the erasure may have begun.
     AND t.erase_at > clock_timestamp() ORDER BY t.id
$$;
SELECT app.define('app.auth_deleted_tenants(uuid)');
COMMENT ON FUNCTION app.auth_deleted_tenants(uuid) IS 'Tenants that an owner can still bring back.';

SELECT app.allow_definer('training_runs', 'SELECT');
CREATE FUNCTION app.artifact_digests() RETURNS TABLE (digest text, is_manifest boolean, own boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT v.artifact_digest, true, v.tenant_id = app.tid() FROM public.model_versions v
  UNION SELECT r.artifact_digest, true, r.tenant_id = app.tid() FROM public.training_runs r
   WHERE r.artifact_digest IS NOT NULL
  UNION SELECT r.snapshot_digest, false, r.tenant_id = app.tid() FROM public.training_runs r
   WHERE r.snapshot_digest IS NOT NULL
$$;
SELECT app.define('app.artifact_digests()');

CREATE FUNCTION app.tenants_to_erase(p_limit integer) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT id FROM public.tenants WHERE status = 'DELETING' AND erase_at <= clock_timestamp()
   ORDER BY erase_at LIMIT p_limit
$$;
SELECT app.define('app.tenants_to_erase(integer)');

SET LOCAL ROLE cl_definer;
GRANT EXECUTE ON FUNCTION app.users_forget(uuid[]) TO cl_owner;
RESET ROLE;

-- Belongs to the owner, who may delete from every table: what a later migration adds is erased without being
-- named here. The policies bind the owner too: only rows of the transaction's tenant are in reach.
CREATE FUNCTION app.tenant_erase(p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  tenant uuid := app.tid(); members uuid[]; part record; gone bigint := 0; hit bigint;
BEGIN
  PERFORM 1 FROM public.tenants WHERE id = tenant AND kind = 'CUSTOMER' AND status = 'DELETING'
     AND erase_at <= clock_timestamp() FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the tenant is not to be erased now' USING ERRCODE = 'insufficient_privilege';
  END IF;
  members := ARRAY(SELECT user_id FROM public.tenant_users WHERE tenant_id = tenant);
  FOR round IN 1 .. 2 LOOP
    FOR part IN
      WITH RECURSIVE referring (child, parent) AS (
        SELECT DISTINCT conrelid, confrelid FROM pg_constraint
         WHERE contype = 'f' AND conparentid = 0 AND conrelid <> confrelid),
      depths (target, depth) AS (
        SELECT c.oid, 0 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
         WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
           -- Evidence outlives the tenant; it names nobody once the tenant's key is gone.
           AND c.relname NOT IN ('audit_heads', 'audit_log', 'audit_checkpoints', 'access_log',
                                 'access_minutes')
        UNION
        SELECT r.parent, d.depth + 1 FROM depths d JOIN referring r ON r.child = d.target
         WHERE d.depth < 20 AND r.parent NOT IN ('public.tenants'::regclass, 'public.users'::regclass)
           -- What all tenants refer to, as to the plans, is nobody's to erase.
           AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = r.parent AND a.attname = 'tenant_id'
                          AND NOT a.attisdropped))
      SELECT target::regclass AS name, max(depth) AS depth FROM depths GROUP BY target ORDER BY 2, 1
    LOOP
      EXECUTE format('DELETE FROM %s WHERE tenant_id = $1 AND (tableoid, ctid) IN '
                     '(SELECT tableoid, ctid FROM %s WHERE tenant_id = $1 LIMIT $2)', part.name, part.name)
        USING tenant, p_limit - gone;
      GET DIAGNOSTICS hit = ROW_COUNT;
      gone := gone + hit;
      -- What refers to a row goes before it, so a table is begun only when those before it are empty.
      EXIT WHEN gone >= p_limit;
    END LOOP;
    EXIT WHEN gone > 0 OR round = 2;
    UPDATE public.tenants SET status = 'ERASED', erased_at = clock_timestamp(), display_name = '-',
           settings = '{}', terms_version = '', retention_days = 0, row_version = row_version + 1
     WHERE id = tenant;
    -- Again, for what the change of the status has left.
  END LOOP;
  PERFORM app.users_forget(members);
  SELECT CASE WHEN status = 'ERASED' THEN 0 ELSE gone END INTO gone FROM public.tenants WHERE id = tenant;
  RETURN gone;
END $$;
COMMENT ON FUNCTION app.tenant_erase(integer) IS
  'Delete up to so many rows of the transaction''s tenant, whose 30 days are over; 0: it is erased.';
REVOKE ALL ON FUNCTION app.tenant_erase(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.tenant_erase(integer) TO cl_app;
"""
