"""Requests that may be repeated: their keys and their answers."""

from __future__ import annotations

from cohortlens.migrations.ddl import only_jobs, run_script

revision = "0018_idempotency"
down_revision = "0017_usage"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the table of keys, the mark of a COMMIT and the purge; a batch loses the key of its own."""
    for script in (_TABLE, _COMMIT, _PURGE, _BATCHES):
        run_script(script)
    only_jobs("app.idempotency_purge(integer)")


_TABLE = """
CREATE TABLE idempotency_keys (
  tenant_id uuid NOT NULL REFERENCES tenants (id),
  principal text NOT NULL,
  method text NOT NULL,
  key text COLLATE "C" NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
  id uuid NOT NULL,
  request_bidx bytea NOT NULL CHECK (octet_length(request_bidx) = 32),
  body_bidx bytea NOT NULL DEFAULT '',
  state text NOT NULL DEFAULT 'IN_PROGRESS' CHECK (state IN ('IN_PROGRESS', 'COMMITTED', 'DONE')),
  attempt integer NOT NULL DEFAULT 1,
  locked_until timestamptz NOT NULL,
  made jsonb NOT NULL DEFAULT '{}',
  answer_enc bytea CHECK ((state = 'DONE') = (answer_enc IS NOT NULL)),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, principal, method, key)
) WITH (fillfactor = 70);
COMMENT ON TABLE idempotency_keys IS
  'One row per keyed request of the last 24 hours: under way, committed, or done with its sealed answer.';
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);
SELECT app.protect('idempotency_keys');
SELECT app.allow_definer('idempotency_keys', 'SELECT, UPDATE, DELETE');
SELECT app.allow_reading();
"""

# The mark travels with the COMMIT of each transaction of a keyed request. One that wrote nothing has no
# transaction id and leaves the key alone.
_COMMIT = """
CREATE FUNCTION app.idempotency_commit(argument bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
DECLARE given jsonb;
BEGIN
  IF pg_current_xact_id_if_assigned() IS NULL THEN
    RETURN;
  END IF;
  given := convert_from(argument, 'UTF8')::jsonb;
  UPDATE idempotency_keys
     SET state = 'COMMITTED', made = made || (given -> 'made'), body_bidx = decode(given ->> 'body', 'hex')
   WHERE tenant_id = app.tid() AND principal = given ->> 'principal' AND method = given ->> 'method'
     AND key = given ->> 'key' AND id = (given ->> 'id')::uuid AND attempt = (given ->> 'attempt')::integer
     AND state <> 'DONE';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the key of this request is held by a later attempt' USING ERRCODE = 'IK001';
  END IF;
END $$;
COMMENT ON FUNCTION app.idempotency_commit(bytea) IS
  'Mark the key of a request in the transaction of its effect; refuses an attempt that was overtaken.';
REVOKE ALL ON FUNCTION app.idempotency_commit(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.idempotency_commit(bytea) TO cl_app;
"""

_PURGE = """
CREATE FUNCTION app.idempotency_purge(p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE gone bigint;
BEGIN
  DELETE FROM idempotency_keys WHERE (tenant_id, principal, method, key) IN (
    SELECT tenant_id, principal, method, key FROM idempotency_keys
     WHERE expires_at <= clock_timestamp() AND locked_until <= clock_timestamp()
     ORDER BY expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS gone = ROW_COUNT;
  RETURN gone;
END $$;
COMMENT ON FUNCTION app.idempotency_purge(integer) IS
  'Delete up to so many keys that count no more, of all tenants; answers how many.';
"""

_BATCHES = """
DROP INDEX batch_predictions_by_request;
ALTER TABLE batch_predictions DROP COLUMN request_id;
"""
