"""OAuth clients, authorisation codes, and the assertions that clients have used."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0013_oauth"
down_revision = "0012_api_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the tables of the authorisation server and what is looked up before a tenant is known."""
    for script in (_CLIENTS, _CODES, _LOOKUPS, _UPKEEP):
        run_script(script)


_CLIENTS = """
CREATE TABLE oauth_clients (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  id uuid NOT NULL,
  display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 100),
  authentication text NOT NULL CHECK (authentication IN ('NONE', 'SECRET_BASIC', 'PRIVATE_KEY_JWT')),
  grants text[] NOT NULL CHECK (cardinality(grants) BETWEEN 1 AND 2
    AND grants <@ ARRAY['AUTHORIZATION_CODE', 'CLIENT_CREDENTIALS']),
  redirect_uris text[] NOT NULL CHECK (cardinality(redirect_uris) <= 10),
  scopes text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 50),
  any_tenant boolean NOT NULL DEFAULT false,
  jwks jsonb,
  secret_sha256 bytea CHECK (octet_length(secret_sha256) = 32),
  secret_created_at timestamptz,
  old_secret_sha256 bytea CHECK (octet_length(old_secret_sha256) = 32),
  old_secret_until timestamptz,
  created_by uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CHECK ((authentication = 'SECRET_BASIC') = (secret_sha256 IS NOT NULL)),
  CHECK ((authentication = 'PRIVATE_KEY_JWT') = (jwks IS NOT NULL)),
  CHECK (authentication <> 'NONE' OR grants = ARRAY['AUTHORIZATION_CODE']),
  CHECK ((secret_sha256 IS NULL) = (secret_created_at IS NULL)),
  CHECK ((old_secret_sha256 IS NULL) = (old_secret_until IS NULL)),
  CHECK (('AUTHORIZATION_CODE' = ANY (grants)) = (cardinality(redirect_uris) > 0))
);
COMMENT ON COLUMN oauth_clients.created_by IS 'No reference: a client outlives the membership of its maker.';
CREATE INDEX oauth_clients_by_id ON oauth_clients (id);
SELECT app.protect('oauth_clients');
SELECT app.allow_definer('oauth_clients', 'SELECT');

CREATE TABLE oauth_assertions (
  tenant_id uuid NOT NULL,
  client_id uuid NOT NULL,
  jti_sha256 bytea NOT NULL CHECK (octet_length(jti_sha256) = 32),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, client_id, jti_sha256),
  FOREIGN KEY (tenant_id, client_id) REFERENCES oauth_clients (tenant_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE oauth_assertions IS 'JWTs by which clients have proven who they are; each is taken once.';
CREATE INDEX oauth_assertions_ended ON oauth_assertions (expires_at);
SELECT app.protect('oauth_assertions');
REVOKE UPDATE, DELETE ON oauth_assertions FROM cl_app;
SELECT app.allow_definer('oauth_assertions', 'SELECT, DELETE');
"""

_CODES = """
CREATE TABLE oauth_codes (
  tenant_id uuid NOT NULL,
  code_sha256 bytea NOT NULL CHECK (octet_length(code_sha256) = 32),
  client_id uuid NOT NULL,
  user_id uuid NOT NULL,
  redirect_uri text NOT NULL CHECK (char_length(redirect_uri) <= 2048),
  challenge text NOT NULL CHECK (challenge ~ '^[A-Za-z0-9_-]{43}$'),
  scopes text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 50),
  amr text[] NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at timestamptz,
  session_id uuid,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, code_sha256),
  FOREIGN KEY (tenant_id, user_id) REFERENCES tenant_users (tenant_id, user_id) ON DELETE CASCADE,
  CHECK ((used_at IS NULL) = (session_id IS NULL))
);
COMMENT ON COLUMN oauth_codes.client_id IS
  'No reference: the client may be of another tenant. A code of a client that is gone is never taken.';
COMMENT ON COLUMN oauth_codes.session_id IS 'The session the code opened; it ends when the code comes again.';
CREATE INDEX oauth_codes_by_hash ON oauth_codes (code_sha256);
CREATE INDEX oauth_codes_ended ON oauth_codes (expires_at);
SELECT app.protect('oauth_codes');
REVOKE DELETE ON oauth_codes FROM cl_app;
SELECT app.allow_definer('oauth_codes', 'SELECT, DELETE');
"""

_LOOKUPS = """
CREATE FUNCTION app.oauth_client(p_client uuid)
RETURNS TABLE (tenant_id uuid, id uuid, display_name text, authentication text, grants text[],
               redirect_uris text[], scopes text[], any_tenant boolean, jwks jsonb, secret_sha256 bytea,
               old_secret_sha256 bytea, secret_created_at timestamptz, created_at timestamptz,
               tenant_name text, tver integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT c.tenant_id, c.id, c.display_name, c.authentication, c.grants, c.redirect_uris, c.scopes,
         c.any_tenant, c.jwks, c.secret_sha256,
         CASE WHEN c.old_secret_until > clock_timestamp() THEN c.old_secret_sha256 END,
         c.secret_created_at, c.created_at, t.display_name, t.tver
    FROM public.oauth_clients c JOIN public.tenants t ON t.id = c.tenant_id
   WHERE c.id = p_client AND t.status = 'ACTIVE'
$$;
COMMENT ON FUNCTION app.oauth_client(uuid) IS 'A client of an active tenant.';
SELECT app.define('app.oauth_client(uuid)');

CREATE FUNCTION app.oauth_code(p_sha bytea)
RETURNS TABLE (tenant_id uuid, client_id uuid, user_id uuid, redirect_uri text, challenge text, scopes text[],
               amr text[], is_over boolean, session_id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT tenant_id, client_id, user_id, redirect_uri, challenge, scopes, amr, expires_at <= clock_timestamp(),
         session_id
    FROM public.oauth_codes WHERE code_sha256 = p_sha
$$;
SELECT app.define('app.oauth_code(bytea)');

CREATE FUNCTION app.oauth_memberships(p_user uuid)
RETURNS TABLE (tenant_id uuid, display_name text, role text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT t.id, t.display_name, m.role FROM public.tenant_users m JOIN public.tenants t ON t.id = m.tenant_id
    JOIN public.users u ON u.id = m.user_id
   WHERE m.user_id = p_user AND t.status = 'ACTIVE' AND u.status = 'ACTIVE' ORDER BY m.created_at, t.id
$$;
SELECT app.define('app.oauth_memberships(uuid)');
"""

_UPKEEP = """
CREATE FUNCTION app.oauth_end_client(p_client uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  ended bigint;
BEGIN
  -- Only the tenant that registered a client may end it; the sessions may be of other tenants.
  PERFORM 1 FROM public.oauth_clients WHERE tenant_id = app.tid() AND id = p_client;
  IF NOT FOUND THEN RETURN 0; END IF;
  DELETE FROM public.oauth_codes WHERE client_id = p_client AND used_at IS NULL;
  UPDATE public.sessions SET revoked_at = clock_timestamp(), revoke_reason = 'CLIENT_DELETED'
   WHERE client_id = p_client::text AND revoked_at IS NULL;
  GET DIAGNOSTICS ended = ROW_COUNT;
  RETURN ended;
END $$;
COMMENT ON FUNCTION app.oauth_end_client(uuid) IS 'End the sessions and codes of a client of this tenant.';
SELECT app.define('app.oauth_end_client(uuid)');

CREATE FUNCTION app.oauth_tidy(p_keep_s integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH codes AS (
    DELETE FROM public.oauth_codes WHERE expires_at < clock_timestamp() - make_interval(secs => p_keep_s)
    RETURNING 1),
  assertions AS (DELETE FROM public.oauth_assertions WHERE expires_at < clock_timestamp() RETURNING 1)
  SELECT (SELECT count(*) FROM codes) + (SELECT count(*) FROM assertions)
$$;
COMMENT ON FUNCTION app.oauth_tidy(integer) IS
  'Delete codes that ended that long ago, and used assertions past their time.';
SELECT app.define('app.oauth_tidy(integer)');
"""
