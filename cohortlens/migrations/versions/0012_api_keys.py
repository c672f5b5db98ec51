"""API keys, service accounts and their public keys."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0012_api_keys"
down_revision = "0011_users"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the tables of programs' credentials and the functions that read them without a tenant."""
    for script in (_API_KEYS, _SERVICE_ACCOUNTS, _ENDS, _LOOKUPS, _UPKEEP):
        run_script(script)


_API_KEYS = """
CREATE TABLE api_keys (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  id uuid NOT NULL,
  lookup text NOT NULL CHECK (lookup ~ '^[0-9A-Za-z]{12}$'),
  prefix text NOT NULL CHECK (prefix IN ('cl_live_', 'cl_test_')),
  display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 100),
  secret_sha256 bytea NOT NULL CHECK (octet_length(secret_sha256) = 32),
  scopes text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 50),
  ip_allowlist cidr[] NOT NULL DEFAULT '{}' CHECK (cardinality(ip_allowlist) <= 50),
  expires_at timestamptz NOT NULL,
  created_by uuid NOT NULL,
  replaced_by uuid,
  last_used_at timestamptz,
  revoked_at timestamptz,
  revoke_reason text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, lookup),
  CHECK ((revoked_at IS NULL) = (revoke_reason IS NULL))
);
COMMENT ON COLUMN api_keys.created_by IS
  'No reference: a key outlives the membership of its maker, refused, so that what it did stays explained.';
CREATE INDEX api_keys_by_lookup ON api_keys (lookup);
CREATE INDEX api_keys_by_maker ON api_keys (tenant_id, created_by) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_revoked ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_keys_ends ON api_keys (least(expires_at, revoked_at));
SELECT app.protect('api_keys');
REVOKE DELETE ON api_keys FROM cl_app;
SELECT app.allow_definer('api_keys', 'SELECT, UPDATE, DELETE');
"""

_SERVICE_ACCOUNTS = """
CREATE TABLE service_accounts (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  id uuid NOT NULL,
  display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 100),
  scopes text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 50),
  audiences text[] NOT NULL CHECK (cardinality(audiences) BETWEEN 1 AND 10),
  san text CHECK (position(tenant_id::text IN san) > 0),
  created_by uuid NOT NULL,
  last_used_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id)
);
COMMENT ON COLUMN service_accounts.san IS
  'Holds the identifier of the tenant, so no tenant can take a name of another tenant''s certificate.';
CREATE INDEX service_accounts_by_id ON service_accounts (id);
CREATE UNIQUE INDEX service_accounts_one_per_name ON service_accounts (tenant_id, san)
  WHERE revoked_at IS NULL;
CREATE INDEX service_accounts_by_name ON service_accounts (san)
  WHERE san IS NOT NULL AND revoked_at IS NULL;
CREATE INDEX service_accounts_revoked ON service_accounts (revoked_at) WHERE revoked_at IS NOT NULL;
SELECT app.protect('service_accounts');
REVOKE DELETE ON service_accounts FROM cl_app;
SELECT app.allow_definer('service_accounts', 'SELECT, UPDATE');

CREATE TABLE service_account_keys (
  tenant_id uuid NOT NULL,
  account_id uuid NOT NULL,
  kid text NOT NULL CHECK (kid ~ '^[A-Za-z0-9._~-]{1,64}$'),
  alg text NOT NULL CHECK (alg IN ('EdDSA', 'ES256', 'RS256')),
  public_jwk jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, account_id, kid),
  FOREIGN KEY (tenant_id, account_id) REFERENCES service_accounts (tenant_id, id) ON DELETE CASCADE
);
SELECT app.protect('service_account_keys');
SELECT app.allow_definer('service_account_keys', 'SELECT');

CREATE TABLE client_assertions (
  tenant_id uuid NOT NULL,
  account_id uuid NOT NULL,
  jti_sha256 bytea NOT NULL CHECK (octet_length(jti_sha256) = 32),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, account_id, jti_sha256),
  FOREIGN KEY (tenant_id, account_id) REFERENCES service_accounts (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX client_assertions_over ON client_assertions (expires_at);
SELECT app.protect('client_assertions');
REVOKE UPDATE, DELETE ON client_assertions FROM cl_app;
SELECT app.allow_definer('client_assertions', 'SELECT, UPDATE, DELETE');
"""

# A trigger, so that no statement can end a key without every process hearing of it.
_ENDS = """
CREATE FUNCTION app.note_program_ended() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  INSERT INTO public.access_changes (tenant_id, kind, subject, cause)
    VALUES (NEW.tenant_id, 'ENDED', NEW.id, 'REVOKED');
  RETURN NULL;
END $$;
SELECT app.define('app.note_program_ended()');
CREATE TRIGGER api_key_ended AFTER UPDATE OF revoked_at ON api_keys FOR EACH ROW
  WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION app.note_program_ended();
CREATE TRIGGER service_account_ended AFTER UPDATE OF revoked_at ON service_accounts FOR EACH ROW
  WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION app.note_program_ended();
"""

_LOOKUPS = """
CREATE FUNCTION app.auth_api_key(p_lookup text)
RETURNS TABLE (tenant_id uuid, id uuid, secret_sha256 bytea, scopes text[], ip_allowlist text[],
               expires_at timestamptz, revoked boolean, created_by uuid, tenant_status text,
               creator_status text, ver integer, tver integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT k.tenant_id, k.id, k.secret_sha256, k.scopes, k.ip_allowlist::text[], k.expires_at,
         k.revoked_at IS NOT NULL, k.created_by, t.status,
         CASE WHEN m.user_id IS NULL THEN 'GONE' ELSE u.status END, m.ver, t.tver
    FROM public.api_keys k JOIN public.tenants t ON t.id = k.tenant_id
    LEFT JOIN public.tenant_users m ON m.tenant_id = k.tenant_id AND m.user_id = k.created_by
    LEFT JOIN public.users u ON u.id = m.user_id
   WHERE k.lookup = p_lookup
$$;
SELECT app.define('app.auth_api_key(text)');

CREATE FUNCTION app.auth_service_account(p_account uuid, p_names text[])
RETURNS TABLE (tenant_id uuid, id uuid, scopes text[], audiences text[], tenant_status text, tver integer,
               public_keys jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT a.tenant_id, a.id, a.scopes, a.audiences, t.status, t.tver,
         coalesce((SELECT jsonb_object_agg(k.kid, k.public_jwk || jsonb_build_object('alg', k.alg))
                     FROM public.service_account_keys k
                    WHERE k.tenant_id = a.tenant_id AND k.account_id = a.id), '{}')
    FROM public.service_accounts a JOIN public.tenants t ON t.id = a.tenant_id
   WHERE a.revoked_at IS NULL AND (a.id = p_account OR a.san = ANY (p_names))
$$;
SELECT app.define('app.auth_service_account(uuid, text[])');

"""

_UPKEEP = """
CREATE FUNCTION app.auth_programs_used(p_ids uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  -- In the order of their identifiers, so that two processes never wait for each other.
  WITH due AS (
    SELECT k.tenant_id, k.id FROM public.api_keys k
     WHERE k.id = ANY (p_ids) AND coalesce(k.last_used_at < clock_timestamp() - interval '50 seconds', true)
     ORDER BY k.id FOR UPDATE
  ), noted AS (
    UPDATE public.api_keys k SET last_used_at = clock_timestamp() FROM due
     WHERE k.tenant_id = due.tenant_id AND k.id = due.id
  ), accounts AS (
    SELECT a.tenant_id, a.id FROM public.service_accounts a
     WHERE a.id = ANY (p_ids) AND coalesce(a.last_used_at < clock_timestamp() - interval '50 seconds', true)
     ORDER BY a.id FOR UPDATE
  )
  UPDATE public.service_accounts a SET last_used_at = clock_timestamp() FROM accounts
   WHERE a.tenant_id = accounts.tenant_id AND a.id = accounts.id
$$;
SELECT app.define('app.auth_programs_used(uuid[])');

CREATE FUNCTION app.auth_programs_tidy(p_kept_days integer, p_limit integer)
RETURNS TABLE (api_keys integer, assertions integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  WITH gone AS (
    SELECT k.tenant_id, k.id FROM public.api_keys k
     WHERE least(k.expires_at, k.revoked_at) < clock_timestamp() - make_interval(days => p_kept_days)
     ORDER BY k.tenant_id, k.id LIMIT p_limit FOR UPDATE SKIP LOCKED
  )
  DELETE FROM public.api_keys k USING gone WHERE k.tenant_id = gone.tenant_id AND k.id = gone.id;
  GET DIAGNOSTICS api_keys = ROW_COUNT;
  WITH gone AS (
    SELECT c.tenant_id, c.account_id, c.jti_sha256 FROM public.client_assertions c
     WHERE c.expires_at < clock_timestamp() LIMIT p_limit FOR UPDATE SKIP LOCKED
  )
  DELETE FROM public.client_assertions c USING gone
   WHERE c.tenant_id = gone.tenant_id AND c.account_id = gone.account_id AND c.jti_sha256 = gone.jti_sha256;
  GET DIAGNOSTICS assertions = ROW_COUNT;
  RETURN NEXT;
END $$;
SELECT app.define('app.auth_programs_tidy(integer, integer)');
"""
