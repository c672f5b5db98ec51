"""The SQL of revision 0016 that works out what a tenant may do, and tells processes what changed."""

from __future__ import annotations

SETTLING = """
CREATE FUNCTION app.entitlement_settle(p_tenant uuid, p_tell boolean DEFAULT true) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  e public.entitlements; was public.entitlements; base public.plans; granted public.plans; limits jsonb;
BEGIN
  SELECT * INTO was FROM public.entitlements WHERE tenant_id = p_tenant FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  e := was;
  IF e.override_expires_at <= clock_timestamp() THEN
    e.override := NULL; e.override_expires_at := NULL;
  END IF;
  SELECT * INTO STRICT base FROM public.plans WHERE id = e.base_plan AND version = e.base_version;
  SELECT * INTO granted FROM public.plans
   WHERE id = e.override ->> 'plan' AND version = (e.override ->> 'plan_version')::integer;
  IF granted.rank > base.rank THEN base := granted; END IF;
  limits := coalesce(e.override -> 'limits', '{}');
  e.plan_id := base.id; e.plan_version := base.version; e.plan_rank := base.rank;
  e.features := ARRAY(SELECT DISTINCT f FROM unnest(base.features || ARRAY(
    SELECT jsonb_array_elements_text(coalesce(e.override -> 'features', '[]')))) AS f ORDER BY f);
  e.max_customers := coalesce((limits ->> 'max_customers')::bigint, base.max_customers);
  e.max_api_calls_per_month := coalesce((limits ->> 'max_api_calls_per_month')::bigint,
                                        base.max_api_calls_per_month);
  e.max_users := coalesce((limits ->> 'max_users')::integer, base.max_users);
  e.read_per_second := coalesce((limits ->> 'read')::double precision, base.read_per_second);
  e.write_per_second := coalesce((limits ->> 'write')::double precision, base.write_per_second);
  e.inference_per_second := coalesce((limits ->> 'inference')::double precision, base.inference_per_second);
  e.bulk_in_flight := coalesce((limits ->> 'bulk_in_flight')::integer, base.bulk_in_flight);
  -- Not locked: whoever counts locks the counts last of all, so nobody who waits for them may hold this row.
  IF EXISTS (SELECT 1 FROM public.tenant_usage u WHERE u.tenant_id = p_tenant
              AND (u.customers > e.max_customers OR u.users > e.max_users)) THEN
    e.over_limit_since := coalesce(e.over_limit_since, clock_timestamp());
  ELSE
    e.over_limit_since := NULL;
  END IF;
  e.access := CASE WHEN e.base_access = 'FULL'
                    AND e.over_limit_since <= clock_timestamp() - interval '30 days'
                   THEN 'READ_ONLY' ELSE e.base_access END;
  IF e IS NOT DISTINCT FROM was AND was.xid <> pg_current_xact_id() THEN RETURN was.version; END IF;
  e.version := was.version + 1; e.xid := pg_current_xact_id(); e.changed_at := clock_timestamp();
  UPDATE public.entitlements SET
    override = e.override, override_expires_at = e.override_expires_at, plan_id = e.plan_id,
    plan_version = e.plan_version, plan_rank = e.plan_rank, access = e.access, features = e.features,
    max_customers = e.max_customers, max_api_calls_per_month = e.max_api_calls_per_month,
    max_users = e.max_users, read_per_second = e.read_per_second, write_per_second = e.write_per_second,
    inference_per_second = e.inference_per_second, bulk_in_flight = e.bulk_in_flight,
    over_limit_since = e.over_limit_since, version = e.version, xid = e.xid, changed_at = e.changed_at
   WHERE tenant_id = p_tenant;
  IF NOT p_tell AND e.access = was.access
     AND e.over_limit_since IS NOT DISTINCT FROM was.over_limit_since THEN
    RETURN e.version;
  END IF;
  INSERT INTO public.outbox (tenant_id, id, topic, key, payload) VALUES (
    p_tenant, app.uuid7(), 'entitlement.changed', 'entitlement', jsonb_build_object(
      'version', e.version, 'plan', e.plan_id, 'was_plan', was.plan_id, 'access', e.access,
      'was_access', was.access, 'by_limit', e.base_access = 'FULL',
      'is_over', e.over_limit_since IS NOT NULL AND was.over_limit_since IS NULL));
  RETURN e.version;
END $$;
COMMENT ON FUNCTION app.entitlement_settle(uuid, boolean) IS
  'Work out anew what a tenant may do, without what has lapsed; answers the version. Safe at any time.';

CREATE FUNCTION app.entitlement_project(p_tenant uuid, p_plan text, p_version integer, p_access text,
                                        p_anchor timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE chosen integer;
BEGIN
  SELECT coalesce(p_version, max(version)) INTO chosen FROM public.plans WHERE id = p_plan;
  -- xid first: the comparison in settle must see that there is something to tell.
  UPDATE public.entitlements
     SET base_plan = p_plan, base_version = chosen, base_access = p_access, anchor = p_anchor,
         xid = pg_current_xact_id()
   WHERE tenant_id = p_tenant
     AND (base_plan, base_version, base_access) IS DISTINCT FROM (p_plan, chosen, p_access)
      OR tenant_id = p_tenant AND anchor IS DISTINCT FROM p_anchor;
  RETURN app.entitlement_settle(p_tenant);
END $$;
COMMENT ON FUNCTION app.entitlement_project(uuid, text, integer, text, timestamptz) IS
  'Store what the subscription of a tenant gives; version NULL: the one on offer. Answers the version of the '
  'entitlement, NULL without such a tenant.';

CREATE FUNCTION app.entitlement_override(p_tenant uuid, p_override jsonb, p_expires_at timestamptz)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF app.tid() IS DISTINCT FROM (SELECT id FROM public.tenants WHERE kind = 'PLATFORM') THEN
    RAISE EXCEPTION 'only a transaction of the platform grants something' USING ERRCODE = '42501';
  END IF;
  UPDATE public.entitlements
     SET override = p_override || coalesce((
           SELECT jsonb_build_object('plan_version', max(version)) FROM public.plans
            WHERE id = p_override ->> 'plan' HAVING max(version) IS NOT NULL), '{}'),
         override_expires_at = p_expires_at, xid = pg_current_xact_id()
   WHERE tenant_id = p_tenant;
  -- Whoever grants tells the owners; jobs have to follow only what the grant changes beyond itself.
  RETURN app.entitlement_settle(p_tenant, false);
END $$;
COMMENT ON FUNCTION app.entitlement_override(uuid, jsonb, timestamptz) IS
  'Replace what is granted to a tenant beside its subscription; NULL takes it back.';

CREATE FUNCTION app.entitlements_settle_due() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE due uuid; before bigint; settled bigint := 0;
BEGIN
  FOR due, before IN
    SELECT e.tenant_id, e.version FROM public.entitlements e JOIN public.tenant_usage u USING (tenant_id)
     WHERE e.override_expires_at <= clock_timestamp()
        OR (e.over_limit_since IS NOT NULL) <>
           (u.customers > e.max_customers OR coalesce(u.users > e.max_users, false))
        OR (e.access = 'FULL' AND e.over_limit_since <= clock_timestamp() - interval '30 days')
     ORDER BY e.tenant_id LIMIT 1000
  LOOP
    IF app.entitlement_settle(due) > before THEN settled := settled + 1; END IF;
  END LOOP;
  RETURN settled;
END $$;
COMMENT ON FUNCTION app.entitlements_settle_due() IS
  'Settle the tenants whose grant has lapsed or whose limits have begun or ceased to be passed.';

CREATE FUNCTION app.entitlement_note(p_tenant uuid, p_version bigint) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH told AS (
    UPDATE public.entitlements
       SET told_version = coalesce(p_version, told_version),
           near_told_at = CASE WHEN p_version IS NULL THEN clock_timestamp() ELSE near_told_at END
     WHERE tenant_id = p_tenant
       AND CASE WHEN p_version IS NOT NULL THEN told_version < p_version
                ELSE coalesce(near_told_at < clock_timestamp() - interval '30 days', true) END RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM told)
$$;
COMMENT ON FUNCTION app.entitlement_note(uuid, bigint) IS
  'Whether owners are to be told of a version, once; NULL: of a limit that is near, once in 30 days.';
"""

FEED = """
CREATE FUNCTION app.entitlement_rows(p_tenant uuid, p_since xid8)
RETURNS TABLE (watermark text, tenant_id uuid, plan_id text, plan_rank integer, access text, features text[],
               max_customers bigint, max_api_calls_per_month bigint, max_users integer,
               read_per_second double precision, write_per_second double precision,
               inference_per_second double precision, bulk_in_flight integer, version bigint,
               anchor timestamptz, lapses_in_s double precision)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  -- As in access_changes_since: nothing below the watermark can still appear, and one that went back is of
  -- another cluster. Rows from beyond the snapshot were restored from there: they are no news.
  WITH mark AS (SELECT pg_snapshot_xmin(s) AS xmin, pg_snapshot_xmax(s) AS xmax FROM pg_current_snapshot() s)
  SELECT m.xmin::text, e.tenant_id, e.plan_id, e.plan_rank, e.access, e.features, e.max_customers,
         e.max_api_calls_per_month, e.max_users, e.read_per_second, e.write_per_second,
         e.inference_per_second, e.bulk_in_flight, e.version, e.anchor,
         extract(epoch FROM e.override_expires_at - clock_timestamp())::double precision
    FROM mark m LEFT JOIN public.entitlements e
      ON CASE WHEN p_tenant IS NOT NULL THEN e.tenant_id = p_tenant
              ELSE e.xid >= CASE WHEN p_since > m.xmin THEN '0'::xid8 ELSE p_since END AND e.xid < m.xmax END
$$;
COMMENT ON FUNCTION app.entitlement_rows(uuid, xid8) IS
  'The entitlement of a tenant, or of those that changed since a watermark; both NULL: the watermark alone.';

CREATE FUNCTION app.tenant_standing(p_tenant uuid)
RETURNS TABLE (base_plan text, override jsonb, override_expires_at timestamptz, customers bigint,
               users integer, over_limit_since timestamptz, upgrade_to text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT e.base_plan, CASE WHEN coalesce(e.override_expires_at > clock_timestamp(), true) THEN e.override END,
         e.override_expires_at, u.customers, u.users, e.over_limit_since,
         coalesce((SELECT p.id FROM public.current_plans p
                    WHERE p.rank > e.plan_rank ORDER BY p.rank LIMIT 1), '')
    FROM public.entitlements e JOIN public.tenant_usage u USING (tenant_id) WHERE e.tenant_id = p_tenant
$$;
COMMENT ON FUNCTION app.tenant_standing(uuid) IS 'What a tenant has stored and was granted.';
"""
