"""Answers of the market by purpose, budgets as sums over the last year, a purge of wallet challenges.

An answer is about those who allow the purpose of its agreement, so revisions and stored answers are kept for
each purpose. What a question cost is with the question; a table of totals that starts anew once a year would
let a buyer spend two budgets within a month.
"""

from __future__ import annotations

from cohortlens.migrations.ddl import only_jobs, run_script

revision = "0034_market_purposes"
down_revision = "0033_marketplace"
branch_labels = None
depends_on = None

_PURPOSES = """
ALTER TABLE market_revisions ADD COLUMN purpose text NOT NULL DEFAULT '';
ALTER TABLE market_revisions ALTER COLUMN purpose DROP DEFAULT;
ALTER TABLE market_revisions DROP CONSTRAINT market_revisions_pkey,
  ADD PRIMARY KEY (tenant_id, offer_id, purpose, revision);
COMMENT ON COLUMN market_revisions.purpose IS 'Of the agreements it holds for; empty for previews.';

-- Stored answers were about everybody who shares at all: nobody is told them any more.
DELETE FROM market_answers;
ALTER TABLE market_answers ADD COLUMN purpose text NOT NULL;
DO $$
DECLARE name text;
BEGIN
  SELECT conname INTO STRICT name FROM pg_constraint
   WHERE conrelid = 'public.market_answers'::regclass AND contype = 'u';
  EXECUTE format('ALTER TABLE public.market_answers DROP CONSTRAINT %I', name);
END $$;
ALTER TABLE market_answers ADD CONSTRAINT market_answers_one_of_place
  UNIQUE (tenant_id, offer_id, offer_version, purpose, revision, question_sha256);
"""

_BUDGETS = """
ALTER TABLE market_queries
  ADD COLUMN purpose text NOT NULL DEFAULT '',
  ADD COLUMN question_sha256 bytea,
  ADD COLUMN pool_milli integer NOT NULL DEFAULT 0 CHECK (pool_milli >= 0);
UPDATE market_queries SET pool_milli = charged_milli;
ALTER TABLE market_queries ALTER COLUMN purpose DROP DEFAULT, ALTER COLUMN pool_milli DROP DEFAULT;
COMMENT ON COLUMN market_queries.charged_milli IS
  'What it cost who asked, thousandths of epsilon; 0 for an answer that they had been told.';
COMMENT ON COLUMN market_queries.pool_milli IS
  'What it cost tenant and offer; 0 for an answer that was there. Never shown to a buyer.';
CREATE INDEX market_queries_charged ON market_queries (tenant_id, created_at)
  WHERE pool_milli > 0 OR charged_milli > 0;
DROP TABLE market_budgets;
"""

_WATCHED = """
DROP FUNCTION app.market_watched(integer);
CREATE FUNCTION app.market_watched(p_after uuid, p_limit integer)
RETURNS TABLE (tenant_id uuid, offer_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT o.tenant_id, o.id FROM public.market_offers o
   WHERE (p_after IS NULL OR o.id > p_after) AND (o.state IN ('PUBLISHED', 'SUSPENDED') OR EXISTS (
     SELECT FROM public.market_agreements a WHERE a.tenant_id = o.tenant_id AND a.offer_id = o.id
        AND a.state IN ('AGREED', 'VERIFIED', 'FINALIZED') AND a.expires_at > clock_timestamp()))
   ORDER BY o.id LIMIT p_limit
$$;
COMMENT ON FUNCTION app.market_watched(uuid, integer) IS 'Offers whose contributors somebody relies on.';
"""

_CHALLENGES = """
GRANT SELECT, DELETE ON wallet_challenges TO cl_definer;
SELECT app.allow_definer('wallet_challenges', 'DELETE');
CREATE INDEX wallet_challenges_over ON wallet_challenges (expires_at);
CREATE FUNCTION app.wallet_challenges_purge(p_limit integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  -- A day later nobody asks any more why a challenge was refused.
  WITH gone AS (
    DELETE FROM public.wallet_challenges w USING (
      SELECT tenant_id, id FROM public.wallet_challenges
       WHERE expires_at < clock_timestamp() - interval '1 day' LIMIT p_limit) o
     WHERE w.tenant_id = o.tenant_id AND w.id = o.id RETURNING 1)
  SELECT count(*) FROM gone
$$;
"""


def upgrade() -> None:
    """Change tables, then the functions that reach across tenants."""
    for script in (_PURPOSES, _BUDGETS, _WATCHED, _CHALLENGES):
        run_script(script)
    only_jobs("app.market_watched(uuid, integer)", "app.wallet_challenges_purge(integer)")
    run_script("SELECT app.allow_reading()")
