"""What a session remembers of its device, changes of access that every process follows, and sets of keys."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0014_sessions"
down_revision = "0013_oauth"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Extend sessions and signing keys; add the table of changes, its triggers and its functions."""
    for script in (_SESSIONS, _CHANGES, _TRIGGERS, _FUNCTIONS):
        run_script(script)


_SESSIONS = """
ALTER TABLE sessions
  ADD COLUMN user_agent text NOT NULL DEFAULT '' CHECK (char_length(user_agent) <= 256),
  ADD COLUMN address_prefix text NOT NULL DEFAULT '' CHECK (char_length(address_prefix) <= 64),
  ADD COLUMN amr text[] NOT NULL DEFAULT '{}',
  ADD COLUMN client_id text NOT NULL DEFAULT 'cohortlens' CHECK (char_length(client_id) BETWEEN 1 AND 64),
  ADD COLUMN scopes text[],
  ADD COLUMN replayed_gen bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN sessions.replayed_gen IS 'Newest refresh token whose repetition is in the audit log.';
COMMENT ON COLUMN sessions.scopes IS 'What of the role the client was given; NULL: everything.';
UPDATE sessions SET amr = '{pwd}';
CREATE INDEX sessions_live_by_client ON sessions (client_id)
  WHERE revoked_at IS NULL AND client_id <> 'cohortlens';

DROP FUNCTION app.auth_session(uuid);
CREATE FUNCTION app.auth_session(p_session uuid)
RETURNS TABLE (tenant_id uuid, user_id uuid, refresh_counter bigint, refresh_key_enc bytea, used_gen bigint,
               refreshed_age_s double precision, expires_in_s double precision, revoked boolean,
               user_status text, tenant_status text, role text, ver integer, tver integer, amr text[],
               client_id text, scopes text[])
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT s.tenant_id, s.user_id, s.refresh_counter, s.refresh_key_enc, s.used_gen,
         extract(epoch FROM clock_timestamp() - s.last_refreshed_at),
         extract(epoch FROM least(s.idle_expires_at, s.absolute_expires_at) - clock_timestamp()),
         s.revoked_at IS NOT NULL, u.status, t.status, m.role, m.ver, t.tver, s.amr, s.client_id, s.scopes
    FROM public.sessions s JOIN public.users u ON u.id = s.user_id JOIN public.tenants t ON t.id = s.tenant_id
    LEFT JOIN public.tenant_users m ON m.tenant_id = s.tenant_id AND m.user_id = s.user_id
   WHERE s.id = p_session
$$;
SELECT app.define('app.auth_session(uuid)');

-- FOR SHARE: a change of the user's rights waits for the session that is being opened, and then ends it.
CREATE FUNCTION app.auth_membership(p_tenant uuid, p_user uuid)
RETURNS TABLE (role text, ver integer, tver integer)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT m.role, m.ver, t.tver FROM public.tenant_users m JOIN public.tenants t ON t.id = m.tenant_id
    JOIN public.users u ON u.id = m.user_id
   WHERE m.tenant_id = p_tenant AND m.user_id = p_user AND t.status = 'ACTIVE' AND u.status = 'ACTIVE'
     FOR SHARE OF m
$$;
SELECT app.define('app.auth_membership(uuid, uuid)');

ALTER TABLE signing_keys DROP CONSTRAINT IF EXISTS signing_keys_key_set_check;
ALTER TABLE signing_keys ADD CONSTRAINT signing_keys_key_set_check
  CHECK (key_set IN ('access', 'audit', 'receipt'));
-- What ended is told by access_changes now.
DROP FUNCTION app.auth_session_dead(uuid);
DROP FUNCTION app.auth_revoked_since(integer);
ALTER TABLE signing_keys ADD COLUMN activated_at timestamptz;
COMMENT ON COLUMN signing_keys.activated_at IS 'When it began to sign; NULL: when made, or never.';
"""

_CHANGES = """
CREATE TABLE access_changes (
  tenant_id uuid NOT NULL DEFAULT app.tid() REFERENCES tenants (id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  kind text NOT NULL CHECK (kind IN ('ENDED', 'USER', 'TENANT')),
  subject uuid NOT NULL,
  ver integer NOT NULL DEFAULT 0,
  cause text NOT NULL CHECK (char_length(cause) BETWEEN 1 AND 64),
  kept uuid,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE access_changes IS
  'Why tokens that are still valid are refused; every process reads what is new each second.';
COMMENT ON COLUMN access_changes.subject IS
  'ENDED: session, API key, service account or token; USER: the user; TENANT: the tenant.';
COMMENT ON COLUMN access_changes.ver IS 'Tokens with an older version of user or tenant are refused.';
COMMENT ON COLUMN access_changes.kept IS 'The session that goes on after its next refresh.';
CREATE INDEX access_changes_by_xid ON access_changes (xid);
CREATE INDEX access_changes_by_time ON access_changes (changed_at);
CREATE INDEX access_changes_by_subject ON access_changes (tenant_id, subject);
SELECT app.protect('access_changes');
REVOKE UPDATE, DELETE ON access_changes FROM cl_app;
SELECT app.allow_definer('access_changes', 'SELECT, INSERT, DELETE');
GRANT UPDATE ON tenant_users, tenants TO cl_definer;
"""

# Triggers, so that no statement can end a session or change a role without every process hearing of it.
_TRIGGERS = """
CREATE FUNCTION app.note_session_ended() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO public.access_changes (tenant_id, kind, subject, cause)
      VALUES (OLD.tenant_id, 'ENDED', OLD.id, 'DELETED');
  ELSE
    INSERT INTO public.access_changes (tenant_id, kind, subject, cause)
      VALUES (NEW.tenant_id, 'ENDED', NEW.id, coalesce(NEW.revoke_reason, 'UNKNOWN'));
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER session_ended AFTER UPDATE OF revoked_at ON sessions FOR EACH ROW
  WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION app.note_session_ended();
CREATE TRIGGER session_deleted AFTER DELETE ON sessions FOR EACH ROW
  WHEN (OLD.revoked_at IS NULL) EXECUTE FUNCTION app.note_session_ended();

CREATE FUNCTION app.note_membership() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    -- Whoever comes back within the life of a token must not meet the changes from before.
    NEW.ver := greatest(NEW.ver, (SELECT max(c.ver) + 1 FROM public.access_changes c
      WHERE c.tenant_id = NEW.tenant_id AND c.subject = NEW.user_id AND c.kind = 'USER'));
    RETURN NEW;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    NEW.ver := greatest(NEW.ver, OLD.ver + 1);
    INSERT INTO public.access_changes (tenant_id, kind, subject, ver, cause)
      VALUES (NEW.tenant_id, 'USER', NEW.user_id, NEW.ver, 'ROLE');
    RETURN NEW;
  END IF;
  INSERT INTO public.access_changes (tenant_id, kind, subject, ver, cause)
    VALUES (OLD.tenant_id, 'USER', OLD.user_id, OLD.ver + 1, 'REMOVED');
  RETURN NULL;
END $$;
CREATE TRIGGER membership_begins BEFORE INSERT ON tenant_users FOR EACH ROW
  EXECUTE FUNCTION app.note_membership();
CREATE TRIGGER membership_changes BEFORE UPDATE OF role ON tenant_users FOR EACH ROW
  WHEN (OLD.role IS DISTINCT FROM NEW.role) EXECUTE FUNCTION app.note_membership();
CREATE TRIGGER membership_ends AFTER DELETE ON tenant_users FOR EACH ROW
  EXECUTE FUNCTION app.note_membership();

CREATE FUNCTION app.note_tenant_status() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  NEW.tver := greatest(NEW.tver, OLD.tver + 1);
  INSERT INTO public.access_changes (tenant_id, kind, subject, ver, cause)
    VALUES (NEW.id, 'TENANT', NEW.id, NEW.tver, NEW.status);
  RETURN NEW;
END $$;
CREATE TRIGGER tenant_status BEFORE UPDATE OF status ON tenants FOR EACH ROW
  WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION app.note_tenant_status();

CREATE FUNCTION app.note_user_status() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM app.access_user_changed(m.tenant_id, NEW.id, NEW.status, NULL, false)
    FROM public.tenant_users m WHERE m.user_id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER user_status AFTER UPDATE OF status ON users FOR EACH ROW
  WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION app.note_user_status();

-- After the triggers: whoever makes one must be allowed to run its function.
SELECT app.define('app.note_session_ended()'), app.define('app.note_membership()'),
       app.define('app.note_tenant_status()'), app.define('app.note_user_status()');
"""

_FUNCTIONS = """
CREATE FUNCTION app.access_user_changed(p_tenant uuid, p_user uuid, p_cause text, p_kept uuid,
                                        p_everywhere boolean) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH raised AS (
    UPDATE public.tenant_users SET ver = ver + 1
     WHERE user_id = p_user AND (p_everywhere OR tenant_id = p_tenant) RETURNING tenant_id, ver),
  noted AS (
    INSERT INTO public.access_changes (tenant_id, kind, subject, ver, cause, kept)
    SELECT tenant_id, 'USER', p_user, ver, p_cause, p_kept FROM raised RETURNING 1)
  SELECT count(*) FROM noted
$$;
SELECT app.define('app.access_user_changed(uuid, uuid, text, uuid, boolean)');

CREATE FUNCTION app.access_tenant_changed(p_tenant uuid, p_cause text) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH raised AS (UPDATE public.tenants SET tver = tver + 1 WHERE id = p_tenant RETURNING id, tver),
  noted AS (
    INSERT INTO public.access_changes (tenant_id, kind, subject, ver, cause)
    SELECT id, 'TENANT', id, tver, p_cause FROM raised RETURNING 1)
  SELECT count(*) FROM noted
$$;
SELECT app.define('app.access_tenant_changed(uuid, text)');

CREATE FUNCTION app.access_end_sessions(p_tenant uuid, p_user uuid, p_reason text, p_kept uuid,
                                        p_everywhere boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE ended bigint;
BEGIN
  -- Waits for sessions that are being opened, so that the next statement sees them.
  PERFORM 1 FROM public.tenant_users WHERE user_id = p_user AND (p_everywhere OR tenant_id = p_tenant)
    ORDER BY tenant_id FOR UPDATE;
  UPDATE public.sessions SET revoked_at = clock_timestamp(), revoke_reason = p_reason
   WHERE user_id = p_user AND (p_everywhere OR tenant_id = p_tenant) AND revoked_at IS NULL
     AND id IS DISTINCT FROM p_kept;
  GET DIAGNOSTICS ended = ROW_COUNT;
  RETURN ended;
END $$;
SELECT app.define('app.access_end_sessions(uuid, uuid, text, uuid, boolean)');

CREATE FUNCTION app.access_changes_since(p_since xid8, p_window_s integer)
RETURNS TABLE (watermark text, tenant_id uuid, kind text, subject uuid, ver integer, cause text, kept uuid,
               age_s double precision)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  -- Whatever began below the watermark has ended, so nothing below it can still appear: ids or times alone
  -- would miss a transaction that commits late. A watermark that went back is of another cluster.
  WITH mark AS (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin)
  SELECT m.xmin::text, c.tenant_id, c.kind, c.subject, c.ver, c.cause, c.kept,
         extract(epoch FROM clock_timestamp() - c.changed_at)
    FROM mark m LEFT JOIN public.access_changes c
      ON c.xid >= CASE WHEN p_since > m.xmin THEN '0'::xid8 ELSE p_since END
     AND c.changed_at > clock_timestamp() - make_interval(secs => p_window_s)
$$;
SELECT app.define('app.access_changes_since(xid8, integer)');

CREATE FUNCTION app.access_changes_purge(p_keep_s integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM public.access_changes WHERE changed_at < clock_timestamp() - make_interval(secs => p_keep_s)
    RETURNING 1)
  SELECT count(*) FROM gone
$$;
SELECT app.define('app.access_changes_purge(integer)');
"""
