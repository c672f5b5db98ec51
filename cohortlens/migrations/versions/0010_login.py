"""One-time tokens, second factors and attempts to log in."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0010_login"
down_revision = "0009_outbox"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build what verification and log-in need."""
    for script in (_ONE_TIME, _USERS, _LOGIN):
        run_script(script)


_ONE_TIME = """
CREATE TABLE one_time_tokens (
  tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  token_sha256 bytea NOT NULL CHECK (octet_length(token_sha256) = 32),
  use text NOT NULL CHECK (use ~ '^[a-z][a-z0-9_]{1,39}$'),
  subject_id uuid NOT NULL,
  data jsonb NOT NULL DEFAULT '{}',
  tries_left smallint CHECK (tries_left >= 0),
  expires_at timestamptz NOT NULL,
  used_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, token_sha256)
);
CREATE INDEX one_time_tokens_by_hash ON one_time_tokens (token_sha256);
CREATE INDEX one_time_tokens_open ON one_time_tokens (tenant_id, use, subject_id) WHERE used_at IS NULL;
CREATE INDEX one_time_tokens_ended ON one_time_tokens (expires_at);
SELECT app.protect('one_time_tokens');
REVOKE UPDATE, DELETE ON one_time_tokens FROM cl_app;
SELECT app.allow_definer('one_time_tokens', 'SELECT, UPDATE, DELETE');

CREATE FUNCTION app.one_time_find(p_sha bytea, p_use text)
RETURNS TABLE (tenant_id uuid, subject_id uuid, data jsonb, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT o.tenant_id, o.subject_id, o.data, o.expires_at FROM public.one_time_tokens o
   WHERE o.token_sha256 = p_sha AND o.use = p_use AND o.used_at IS NULL
     AND coalesce(o.tries_left, 1) > 0 AND o.expires_at > clock_timestamp()
$$;
SELECT app.define('app.one_time_find(bytea, text)');

-- One statement each: of two callers with the same token the second waits for the row and then finds it used.
CREATE FUNCTION app.one_time_consume(p_sha bytea, p_use text)
RETURNS TABLE (tenant_id uuid, subject_id uuid, data jsonb, expires_at timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  UPDATE public.one_time_tokens o SET used_at = clock_timestamp()
   WHERE o.token_sha256 = p_sha AND o.use = p_use AND o.used_at IS NULL AND o.expires_at > clock_timestamp()
  RETURNING o.tenant_id, o.subject_id, o.data, o.expires_at
$$;
SELECT app.define('app.one_time_consume(bytea, text)');

CREATE FUNCTION app.one_time_try(p_sha bytea, p_use text)
RETURNS TABLE (tenant_id uuid, subject_id uuid, data jsonb, expires_at timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  UPDATE public.one_time_tokens o SET tries_left = o.tries_left - 1
   WHERE o.token_sha256 = p_sha AND o.use = p_use AND o.used_at IS NULL AND o.tries_left > 0
     AND o.expires_at > clock_timestamp()
  RETURNING o.tenant_id, o.subject_id, o.data, o.expires_at
$$;
SELECT app.define('app.one_time_try(bytea, text)');

CREATE FUNCTION app.one_time_discard(p_tenant uuid, p_use text, p_subject uuid) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH ended AS (
    UPDATE public.one_time_tokens SET used_at = clock_timestamp()
     WHERE tenant_id = p_tenant AND use = p_use AND subject_id = p_subject AND used_at IS NULL RETURNING 1)
  SELECT count(*) FROM ended
$$;
SELECT app.define('app.one_time_discard(uuid, text, uuid)');

CREATE FUNCTION app.one_time_purge(p_keep_s integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM public.one_time_tokens WHERE expires_at < clock_timestamp() - make_interval(secs => p_keep_s)
    RETURNING 1)
  SELECT count(*) FROM gone
$$;
SELECT app.define('app.one_time_purge(integer)');
"""

_USERS = """
-- NULL is nobody's password: whoever came by a link and never set one cannot log in by password.
ALTER TABLE users ALTER COLUMN password_hash DROP NOT NULL;
ALTER TABLE users ADD COLUMN totp_enc bytea, ADD COLUMN totp_pending_enc bytea,
  ADD COLUMN totp_last_step bigint NOT NULL DEFAULT 0, ADD COLUMN totp_confirmed_at timestamptz;
SELECT app.allow_resealing('users', 'totp_enc');
SELECT app.allow_resealing('users', 'totp_pending_enc');
ALTER TABLE users ADD CONSTRAINT users_totp_confirmed
  CHECK ((totp_enc IS NULL) = (totp_confirmed_at IS NULL));
-- Who registered before addresses were verified stays able to log in.
UPDATE users SET email_verified_at = created_at WHERE email_verified_at IS NULL;

CREATE TABLE recovery_codes (
  user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  code_sha256 bytea NOT NULL CHECK (octet_length(code_sha256) = 32),
  used_at timestamptz,
  PRIMARY KEY (user_id, code_sha256)
);
SELECT app.allow_definer('recovery_codes', 'SELECT, INSERT, UPDATE, DELETE');
"""

_LOGIN = """
CREATE OR REPLACE FUNCTION app.auth_register(p_tenant uuid, p_user uuid, p_display_name text, p_email text,
                                             p_hash text, p_terms text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  INSERT INTO public.users (id, email, password_hash, email_verified_at)
    VALUES (p_user, p_email, p_hash, clock_timestamp()) ON CONFLICT (email) DO NOTHING;
  IF NOT FOUND THEN RETURN false; END IF;
  INSERT INTO public.tenants (id, display_name, terms_version) VALUES (p_tenant, p_display_name, p_terms);
  INSERT INTO public.tenant_users (tenant_id, user_id, role) VALUES (p_tenant, p_user, 'owner');
  RETURN true;
END $$;
COMMENT ON FUNCTION app.auth_register(uuid, uuid, text, text, text, text) IS
  'A tenant and its owner, whose address was proven by a mailed link; false when the address has an account.';

DROP FUNCTION app.auth_login(text);
CREATE FUNCTION app.auth_login(p_email text)
RETURNS TABLE (user_id uuid, password_hash text, user_status text, is_verified boolean, totp_enc bytea,
               tenant_id uuid, role text, ver integer, tver integer, tenant_status text, tenant_name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT u.id, u.password_hash, u.status, u.email_verified_at IS NOT NULL, u.totp_enc,
         t.id, m.role, m.ver, t.tver, t.status, t.display_name
    FROM public.users u LEFT JOIN public.tenant_users m ON m.user_id = u.id
    LEFT JOIN public.tenants t ON t.id = m.tenant_id
   WHERE u.email = p_email ORDER BY m.created_at, t.id
$$;
SELECT app.define('app.auth_login(text)');

DROP FUNCTION app.auth_logged_in(uuid, text, text);
CREATE FUNCTION app.auth_logged_in(p_user uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  UPDATE public.users SET last_login_at = clock_timestamp() WHERE id = p_user
$$;
SELECT app.define('app.auth_logged_in(uuid)');

CREATE FUNCTION app.auth_user(p_user uuid)
RETURNS TABLE (email text, password_hash text, totp_enc bytea, totp_pending_enc bytea, tenant_ids uuid[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT u.email, u.password_hash, u.totp_enc, u.totp_pending_enc,
         ARRAY(SELECT m.tenant_id FROM public.tenant_users m WHERE m.user_id = u.id ORDER BY m.created_at)
    FROM public.users u WHERE u.id = p_user AND u.status = 'ACTIVE'
$$;
SELECT app.define('app.auth_user(uuid)');

CREATE FUNCTION app.auth_set_password(p_user uuid, p_hash text, p_expected text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  -- Whoever holds a link we mailed has proven the address.
  WITH changed AS (
    UPDATE public.users SET password_hash = p_hash,
           email_verified_at = coalesce(email_verified_at, clock_timestamp())
     WHERE id = p_user AND status = 'ACTIVE'
       AND (p_expected IS NULL OR password_hash = p_expected) RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM changed)
$$;
SELECT app.define('app.auth_set_password(uuid, text, text)');

CREATE FUNCTION app.auth_totp_begin(p_user uuid, p_secret bytea) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH begun AS (
    UPDATE public.users SET totp_pending_enc = p_secret WHERE id = p_user AND totp_enc IS NULL RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM begun)
$$;
SELECT app.define('app.auth_totp_begin(uuid, bytea)');

CREATE FUNCTION app.auth_totp_confirm(p_user uuid, p_secret bytea, p_step bigint, p_codes bytea[])
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  UPDATE public.users SET totp_enc = totp_pending_enc, totp_pending_enc = NULL, totp_last_step = p_step,
         totp_confirmed_at = clock_timestamp()
   WHERE id = p_user AND totp_enc IS NULL AND totp_pending_enc = p_secret;
  IF NOT FOUND THEN RETURN false; END IF;
  DELETE FROM public.recovery_codes WHERE user_id = p_user;
  INSERT INTO public.recovery_codes (user_id, code_sha256) SELECT p_user, unnest(p_codes);
  RETURN true;
END $$;
SELECT app.define('app.auth_totp_confirm(uuid, bytea, bigint, bytea[])');

CREATE FUNCTION app.auth_totp_disable(p_user uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  DELETE FROM public.recovery_codes WHERE user_id = p_user;
  UPDATE public.users SET totp_enc = NULL, totp_pending_enc = NULL, totp_confirmed_at = NULL
   WHERE id = p_user AND totp_enc IS NOT NULL;
  RETURN FOUND;
END $$;
SELECT app.define('app.auth_totp_disable(uuid)');

CREATE FUNCTION app.auth_totp_use(p_user uuid, p_step bigint) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  -- totp_last_step stays when TOTP ends, so a code of the old secret cannot be used again either.
  WITH used AS (
    UPDATE public.users SET totp_last_step = p_step
     WHERE id = p_user AND totp_enc IS NOT NULL AND totp_last_step < p_step RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM used)
$$;
SELECT app.define('app.auth_totp_use(uuid, bigint)');

CREATE FUNCTION app.auth_recovery_use(p_user uuid, p_code bytea) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH used AS (
    UPDATE public.recovery_codes SET used_at = clock_timestamp()
     WHERE user_id = p_user AND code_sha256 = p_code AND used_at IS NULL RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM used)
$$;
SELECT app.define('app.auth_recovery_use(uuid, bytea)');
"""
