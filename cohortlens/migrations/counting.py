"""The SQL of revision 0016 that counts customers and users, and refuses what would pass a limit."""

from __future__ import annotations

HANGING = """
-- Whoever may execute the function of a trigger can hang it on a table of their own, and a temporary table
-- whose rows "go" would lower the counts. A trigger that is there needs nobody's right to fire.
CREATE OR REPLACE FUNCTION app.define(function regprocedure) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, cl_app', function);
  IF (SELECT prorettype FROM pg_proc WHERE oid = function) <> 'trigger'::regtype THEN
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO cl_app', function);
  END IF;
  GRANT CREATE ON SCHEMA app TO cl_definer;
  EXECUTE format('ALTER FUNCTION %s OWNER TO cl_definer', function);
  REVOKE CREATE ON SCHEMA app FROM cl_definer;
END $$;
COMMENT ON FUNCTION app.define(regprocedure) IS
  'Hand a SECURITY DEFINER function to cl_definer; cl_app may call it, unless a trigger does.';
DO $$
DECLARE one record;
BEGIN
  FOR one IN SELECT oid::regprocedure AS function, proowner::regrole AS owner FROM pg_proc
              WHERE pronamespace = 'app'::regnamespace AND prosecdef AND prorettype = 'trigger'::regtype LOOP
    EXECUTE format('SET LOCAL ROLE %s', one.owner);
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM cl_app', one.function);
    RESET ROLE;
  END LOOP;
END $$;
"""

REFUSALS = """
CREATE FUNCTION app.limits_of(p_tenant uuid)
RETURNS TABLE (plan_id text, plan_rank integer, max_customers bigint, max_users integer)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  -- A grant that has lapsed holds no longer, even if nobody has settled it yet.
  SELECT p.id, p.rank, CASE WHEN l.lapsed THEN p.max_customers ELSE e.max_customers END,
         CASE WHEN l.lapsed THEN p.max_users ELSE e.max_users END
    FROM public.entitlements e
         CROSS JOIN LATERAL (SELECT coalesce(e.override_expires_at <= clock_timestamp(), false) AS lapsed) l
         JOIN public.plans p ON p.id = CASE WHEN l.lapsed THEN e.base_plan ELSE e.plan_id END
          AND p.version = CASE WHEN l.lapsed THEN e.base_version ELSE e.plan_version END
   WHERE e.tenant_id = p_tenant
$$;

CREATE FUNCTION app.refuse_customers(p_tenant uuid, p_used bigint, p_adding bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE held record; better text;
BEGIN
  SELECT * INTO held FROM app.limits_of(p_tenant);
  SELECT p.id INTO better FROM public.current_plans p
   WHERE p.rank > held.plan_rank AND p.max_customers > held.max_customers
   ORDER BY p.max_customers < p_used + p_adding, p.rank LIMIT 1;
  RAISE EXCEPTION USING ERRCODE = 'CL001',
    MESSAGE = format('the plan %s stores %s customers: %s are stored and %s more would come; '
                     'delete customers%s',
                     held.plan_id, held.max_customers, p_used, p_adding,
                     coalesce(', or upgrade to ' || better, ', or ask the operator of the installation')),
    DETAIL = jsonb_build_object('reason', 'CUSTOMER_QUOTA_EXCEEDED', 'metric', 'customers',
      'metadata', jsonb_build_object('limit', held.max_customers::text, 'used', p_used::text,
                                     'adding', p_adding::text, 'upgrade_to', coalesce(better, '')))::text;
END $$;

CREATE FUNCTION app.refuse_users(p_tenant uuid, p_used integer, p_adding integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE held record; better text;
BEGIN
  SELECT * INTO held FROM app.limits_of(p_tenant);
  SELECT p.id INTO better FROM public.current_plans p
   WHERE p.rank > held.plan_rank AND coalesce(p.max_users > held.max_users, true) ORDER BY p.rank LIMIT 1;
  RAISE EXCEPTION USING ERRCODE = 'CL002',
    MESSAGE = format('the plan %s has room for %s users: %s are there or invited and %s more would come; '
                     'remove a user or an invitation%s', held.plan_id, held.max_users, p_used, p_adding,
                     coalesce(', or upgrade to ' || better, ', or ask the operator of the installation')),
    DETAIL = jsonb_build_object('reason', 'USER_QUOTA_EXCEEDED', 'metric', 'users',
      'metadata', jsonb_build_object('limit', held.max_users::text, 'used', p_used::text,
                                     'adding', p_adding::text, 'upgrade_to', coalesce(better, '')))::text;
END $$;
"""

# The counts are locked when a transaction commits, not when it writes: an import that runs for minutes holds
# up nobody. What it has added until then lies in tenant_usage_open, which only itself can see.
COUNTING = """
CREATE FUNCTION app.note_customers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE changed record; stored bigint; open bigint;
BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO public.tenant_usage_open (tenant_id, customers)
      SELECT r.tenant_id, -count(*) FROM removed r GROUP BY r.tenant_id;
    RETURN NULL;
  END IF;
  FOR changed IN SELECT a.tenant_id, count(*) AS n FROM added a GROUP BY a.tenant_id LOOP
    -- What cannot fit is refused now; whether what fits now still does is decided at the commit.
    SELECT u.customers, coalesce((SELECT sum(o.customers) FROM public.tenant_usage_open o
                                   WHERE o.tenant_id = changed.tenant_id), 0)
      INTO stored, open FROM public.tenant_usage u WHERE u.tenant_id = changed.tenant_id;
    IF open + changed.n > 0 AND stored + open + changed.n > (
        SELECT l.max_customers FROM app.limits_of(changed.tenant_id) l) THEN
      PERFORM app.refuse_customers(changed.tenant_id, stored + open, changed.n);
    END IF;
    INSERT INTO public.tenant_usage_open (tenant_id, customers) VALUES (changed.tenant_id, changed.n);
  END LOOP;
  RETURN NULL;
END $$;

CREATE FUNCTION app.note_members() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO public.tenant_usage_open (tenant_id, users, of_users)
      SELECT a.tenant_id, count(*), true FROM added a GROUP BY a.tenant_id;
  ELSE
    INSERT INTO public.tenant_usage_open (tenant_id, users, of_users)
      SELECT r.tenant_id, -count(*), true FROM removed r GROUP BY r.tenant_id;
  END IF;
  RETURN NULL;
END $$;

-- An invitation takes a place while it works: one whose time is over gives it back without any statement.
CREATE FUNCTION app.note_invitations() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO public.tenant_usage_open (tenant_id, users, of_users)
      SELECT a.tenant_id, count(*) FILTER (WHERE a.expires_at > clock_timestamp()), true
        FROM added a GROUP BY a.tenant_id;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    INSERT INTO public.tenant_usage_open (tenant_id, users, of_users)
      SELECT r.tenant_id, -count(*) FILTER (WHERE r.expires_at > clock_timestamp()), true
        FROM removed r GROUP BY r.tenant_id;
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION app.tenant_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION 'a row of % never passes to another tenant', TG_TABLE_NAME USING ERRCODE = '42501';
END $$;

CREATE FUNCTION app.count_usage() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  tenant uuid := NEW.tenant_id; more bigint; more_users integer; of_users boolean; held record;
  stored bigint; stored_users integer; users_now integer; news boolean := false;
BEGIN
  WITH mine AS (DELETE FROM public.tenant_usage_open o WHERE o.tenant_id = tenant RETURNING o.*)
  SELECT sum(m.customers), sum(m.users), bool_or(m.of_users) INTO more, more_users, of_users FROM mine m;
  -- The first row of a transaction settles all of them.
  IF more IS NULL THEN RETURN NULL; END IF;
  SELECT u.customers, u.users INTO stored, stored_users FROM public.tenant_usage u
   WHERE u.tenant_id = tenant FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  SELECT * INTO held FROM app.limits_of(tenant);
  IF more > 0 AND stored + more > held.max_customers THEN
    PERFORM app.refuse_customers(tenant, stored, more);
  END IF;
  users_now := stored_users;
  IF of_users THEN
    SELECT (SELECT count(*) FROM public.tenant_users m WHERE m.tenant_id = tenant)
         + (SELECT count(*) FROM public.invitations i
             WHERE i.tenant_id = tenant AND i.expires_at > clock_timestamp()) INTO users_now;
    IF more_users > 0 AND users_now > held.max_users THEN
      PERFORM app.refuse_users(tenant, users_now - more_users, more_users);
    END IF;
  END IF;
  UPDATE public.tenant_usage SET customers = stored + more, users = users_now WHERE tenant_id = tenant;
  news := stored < 0.8 * held.max_customers AND stored + more >= 0.8 * held.max_customers
       OR stored > held.max_customers AND stored + more <= held.max_customers
       OR coalesce(stored_users < 0.8 * held.max_users AND users_now >= 0.8 * held.max_users
                   OR stored_users > held.max_users AND users_now <= held.max_users, false);
  IF news THEN
    INSERT INTO public.outbox (tenant_id, id, topic, key, payload)
      VALUES (tenant, app.uuid7(), 'entitlement.usage', 'entitlement', '{}');
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION app.count_usage() IS
  'At the commit: add what the transaction brought to the counts of its tenant, or refuse all of it.';

CREATE FUNCTION app.usage_differences()
RETURNS TABLE (tenant_id uuid, customers bigint, counted bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  -- One statement has one snapshot, and a count commits together with its rows.
  SELECT u.tenant_id, u.customers, coalesce(c.counted, 0)
    FROM public.tenant_usage u
    LEFT JOIN (SELECT k.tenant_id, count(*) AS counted FROM public.customers k GROUP BY k.tenant_id) c
      ON c.tenant_id = u.tenant_id
   WHERE u.customers <> coalesce(c.counted, 0)
$$;
COMMENT ON FUNCTION app.usage_differences() IS 'Tenants whose count of customers is not what is stored.';
"""

TRIGGERS = """
CREATE TRIGGER customers_added AFTER INSERT ON customers REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION app.note_customers();
CREATE TRIGGER customers_removed AFTER DELETE ON customers REFERENCING OLD TABLE AS removed
  FOR EACH STATEMENT EXECUTE FUNCTION app.note_customers();
CREATE TRIGGER customers_stay BEFORE UPDATE OF tenant_id ON customers FOR EACH ROW
  WHEN (OLD.tenant_id <> NEW.tenant_id) EXECUTE FUNCTION app.tenant_stays();
CREATE TRIGGER customers_never_emptied BEFORE TRUNCATE ON customers
  EXECUTE FUNCTION app.tenant_stays();
CREATE TRIGGER members_added AFTER INSERT ON tenant_users REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION app.note_members();
CREATE TRIGGER members_removed AFTER DELETE ON tenant_users REFERENCING OLD TABLE AS removed
  FOR EACH STATEMENT EXECUTE FUNCTION app.note_members();
CREATE TRIGGER invitations_added AFTER INSERT ON invitations REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION app.note_invitations();
CREATE TRIGGER invitations_changed AFTER UPDATE ON invitations
  REFERENCING OLD TABLE AS removed NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION app.note_invitations();
CREATE TRIGGER invitations_removed AFTER DELETE ON invitations REFERENCING OLD TABLE AS removed
  FOR EACH STATEMENT EXECUTE FUNCTION app.note_invitations();
CREATE TRIGGER invitations_stay BEFORE UPDATE OF tenant_id ON invitations FOR EACH ROW
  WHEN (OLD.tenant_id <> NEW.tenant_id) EXECUTE FUNCTION app.tenant_stays();
CREATE CONSTRAINT TRIGGER usage_counted AFTER INSERT ON tenant_usage_open DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION app.count_usage();
"""
