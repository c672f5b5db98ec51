"""What a keyed request costs is stored with its key: once, however often it is sent."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0021_charges_of_keys"
down_revision = "0020_subscriptions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let a key know which attempt paid, and let the mark of a COMMIT pay."""
    for script in (_COLUMN, _NOTE, _CHARGE, _COMMIT):
        run_script(script)


_COLUMN = """
ALTER TABLE idempotency_keys ADD COLUMN charged_by integer;
COMMENT ON COLUMN idempotency_keys.charged_by IS
  'Attempt whose units count; empty while nobody paid, or when the method costs nothing.';
"""

_NOTE = """
CREATE FUNCTION app.usage_note(event jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
  PERFORM app.usage_append(NULL, 0, (event ->> 'batch')::uuid, ARRAY[app.tid()], ARRAY[event ->> 'meter'],
    ARRAY[(event ->> 'period_start')::timestamptz], ARRAY[to_timestamp((event ->> 'at')::double precision)],
    ARRAY[event ->> 'method'], ARRAY[event ->> 'principal'], ARRAY[(event ->> 'units')::integer],
    ARRAY[(event ->> 'calls')::integer], ARRAY[event ->> 'outcome'], ARRAY[event ->> 'request']);
END $$;
COMMENT ON FUNCTION app.usage_note(jsonb) IS
  'Store one usage event of the tenant with whatever else the transaction does.';
REVOKE ALL ON FUNCTION app.usage_note(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.usage_note(jsonb) TO cl_app;
"""

# An event of no units tells of a call that a fault of ours ended; it pays nothing.
_CHARGE = """
CREATE FUNCTION app.idempotency_charge(given jsonb) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
DECLARE event jsonb := given -> 'charge'; costs boolean := (event ->> 'units')::integer > 0; paid boolean;
BEGIN
  UPDATE idempotency_keys SET charged_by = attempt
   WHERE costs AND tenant_id = app.tid() AND principal = given ->> 'principal'
     AND method = given ->> 'method' AND key = given ->> 'key' AND id = (given ->> 'id')::uuid
     AND attempt = (given ->> 'attempt')::integer AND charged_by IS NULL;
  IF FOUND THEN
    PERFORM app.usage_note(event);
    RETURN true;
  END IF;
  paid := EXISTS (
    SELECT FROM idempotency_keys
     WHERE tenant_id = app.tid() AND principal = given ->> 'principal' AND method = given ->> 'method'
       AND key = given ->> 'key' AND id = (given ->> 'id')::uuid
       AND charged_by = (given ->> 'attempt')::integer);
  IF NOT paid AND NOT costs THEN
    PERFORM app.usage_note(event);
  END IF;
  RETURN paid;
END $$;
COMMENT ON FUNCTION app.idempotency_charge(jsonb) IS
  'Let an attempt pay for its request unless one has; answers whether this attempt is the one that paid.';
REVOKE ALL ON FUNCTION app.idempotency_charge(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.idempotency_charge(jsonb) TO cl_app;
"""

_COMMIT = """
CREATE OR REPLACE FUNCTION app.idempotency_commit(argument bytea) RETURNS void
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
  IF given ? 'charge' THEN
    PERFORM app.idempotency_charge(given);
  END IF;
END $$;
COMMENT ON FUNCTION app.idempotency_commit(bytea) IS
  'Mark the key of a request in the transaction of its effect, and let it pay; '
  'refuses an attempt that was overtaken.';
"""
