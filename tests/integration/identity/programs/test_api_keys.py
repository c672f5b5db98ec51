"""API keys over real servers: who may make one, what a door takes, and how soon an ended one is refused."""

import asyncio
import time
from datetime import timedelta

import pytest

from cohortlens.core.clock import now
from cohortlens.core.context import PrincipalKind
from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from cohortlens.core.ids import uuid7
from cohortlens.core.redis import redis_client as connect
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.models import ApiKeyInvalid
from cohortlens.identity.programs import api_key_text
from cohortlens.identity.programs.service import Programs
from tests.fixtures.waiting import eventually

SCOPES = ["customers.read", "analytics.read"]
HERE = "192.0.2.7"


@pytest.fixture
async def programs(runtime, redis_client):
    revocations = Revocations(runtime, redis_client, 630)
    made = Programs(runtime, revocations, is_live=False)
    yield made
    await made.close()
    await revocations.close()


@pytest.fixture
async def elsewhere(postgres_urls, redis_url, programs):
    """The same as another process has it: own pool, own memory."""
    db, redis = Database(postgres_urls.runtime, 2), connect(redis_url)
    revocations = Revocations(db, redis, 630)
    made = Programs(db, revocations, is_live=False)
    yield made
    await made.close()
    await revocations.close()
    await redis.aclose()
    await db.close()


async def key_of(programs, tenant, **options):
    options = {"display_name": "export", "scopes": SCOPES, **options}
    return await programs.keys.create(tenant.context(), **options)


async def audited(superuser, action):
    rows = await superuser.fetch("SELECT canonical FROM audit_log")
    return [row["canonical"].decode() for row in rows if f'"{action}"' in row["canonical"].decode()]


async def test_a_key_acts_for_its_tenant_with_its_scopes_alone(programs, tenants):
    made = await key_of(programs, tenants[0])
    principal = await programs.key_verifier.verify(made.secret, HERE)
    assert principal.tenant_id == tenants[0].tenant_id
    assert (principal.kind, principal.id) == (PrincipalKind.API_KEY, made.key.key_id)
    assert principal.scopes == set(SCOPES)
    with pytest.raises(PermissionDenied) as caught:
        _ = principal.user_id
    assert caught.value.reason == "ROLE_REQUIRED"


async def test_the_secret_is_stored_nowhere(programs, tenants, superuser):
    made = await key_of(programs, tenants[0])
    secret = made.secret.split("_")[3][:43]
    for table in ("api_keys", "audit_log", "outbox", "access_changes"):
        rows = await superuser.fetch(f"SELECT t::text AS row FROM {table} t")
        assert not [row for row in rows if secret in row["row"]], table
    assert secret not in repr(made)


async def test_the_log_tells_of_a_key_that_was_made_and_revoked(programs, tenants, superuser):
    made = await key_of(programs, tenants[0])
    await programs.keys.revoke(tenants[0].context(), made.key.key_id)
    [created] = await audited(superuser, "identity.api_key.created")
    assert f"apiKeys/{made.key.key_id}" in created
    assert f"user:{tenants[0].user_id}" in created
    assert len(await audited(superuser, "identity.api_key.revoked")) == 1


@pytest.mark.parametrize(
    "scope",
    [
        "users.write",
        "billing.write",
        "api_keys.write",
        "service_accounts.write",
        "tenant.delete",
        "platform.keys",
    ],
)
async def test_no_key_ever_holds_what_people_alone_may_do(programs, tenants, scope):
    with pytest.raises(InvalidArgument) as caught:
        await key_of(programs, tenants[0], scopes=[*SCOPES, scope])
    assert caught.value.violations[0].field == "scopes[2]"


async def test_a_maker_gives_no_scope_beyond_the_own(programs, tenants):
    viewer = tenants[0].context(role="viewer")
    with pytest.raises(PermissionDenied) as caught:
        await programs.keys.create(viewer, display_name="x", scopes=["customers.read", "models.write"])
    assert (caught.value.reason, caught.value.metadata) == ("SCOPE_MISSING", {"scope": "models.write"})


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["customers.fly"]}, "scopes[0]"),
        ({"display_name": "  "}, "display_name"),
        ({"ip_allowlist": ["192.0.2.1/24"]}, "ip_allowlist[0]"),
        ({"expires_at": now() - timedelta(seconds=1)}, "expire_time"),
        ({"expires_at": now() + timedelta(days=2000)}, "expire_time"),
    ],
)
async def test_what_is_wrong_with_a_wish_is_named(programs, tenants, options, field):
    with pytest.raises(InvalidArgument) as caught:
        await key_of(programs, tenants[0], **options)
    assert caught.value.violations[0].field == field


async def test_a_wrong_checksum_costs_no_look_up(programs, tenants, monkeypatch):
    made = await key_of(programs, tenants[0])
    asked = []
    monkeypatch.setattr(programs.key_verifier, "_row", asked.append)
    wrong = made.secret[:-1] + ("0" if made.secret[-1] != "0" else "1")
    live, _ = api_key_text.made(api_key_text.LIVE)
    for shown in (wrong, made.secret[:-1], made.secret + "x", live, "cl_test_", "cl_"):
        with pytest.raises(ApiKeyInvalid):
            await programs.key_verifier.verify(shown, HERE)
    assert asked == []


async def test_a_flood_of_invented_keys_leaves_the_database_to_others(programs, database, monkeypatch):
    busy = []
    begun = Database.transaction

    def counted(self):
        busy.append(self._engine.pool.checkedout())
        return begun(self)

    monkeypatch.setattr(Database, "transaction", counted)
    texts = [api_key_text.made(api_key_text.TEST)[0] for _ in range(100)]
    ended = await asyncio.gather(
        *(programs.key_verifier.verify(one, HERE) for one in texts for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(one, ApiKeyInvalid) for one in ended)
    # One look-up for each, never more than two at once beside the reading of changes.
    assert 100 <= len(busy) < 110
    assert max(busy) <= 2


async def test_whatever_is_wrong_the_holder_hears_the_same(programs, tenants, superuser):
    wrong_place = await key_of(programs, tenants[0], ip_allowlist=["198.51.100.0/24"])
    expired = await key_of(programs, tenants[0])
    revoked = await key_of(programs, tenants[0])
    await superuser.execute(
        "UPDATE api_keys SET expires_at = clock_timestamp() - interval '1 s' WHERE id = $1",
        expired.key.key_id,
    )
    await programs.keys.revoke(tenants[0].context(), revoked.key.key_id)
    unknown, _ = api_key_text.made(api_key_text.TEST)
    other, parts = api_key_text.made(api_key_text.TEST)
    await superuser.execute(
        "UPDATE api_keys SET lookup = $2 WHERE id = $1", wrong_place.key.key_id, parts.lookup
    )
    answers = set()
    for shown in (unknown, other, wrong_place.secret, expired.secret, revoked.secret, "cl_test_x"):
        with pytest.raises(ApiKeyInvalid) as caught:
            await programs.key_verifier.verify(shown, HERE)
        answers.add((caught.value.reason, caught.value.message, tuple(caught.value.metadata)))
    assert len(answers) == 1


async def test_a_refusal_names_whoever_showed_a_whole_key_for_the_access_log_and_no_stranger(
    programs, tenants, superuser
):
    wrong_place = await key_of(programs, tenants[0], ip_allowlist=["198.51.100.0/24"])
    revoked, expired, guessed = [await key_of(programs, tenants[0]) for _ in range(3)]
    assert await programs.key_verifier.verify(revoked.secret, HERE)
    await programs.keys.revoke(tenants[0].context(), revoked.key.key_id)
    await superuser.execute(
        "UPDATE api_keys SET expires_at = clock_timestamp() - interval '1 s' WHERE id = $1",
        expired.key.key_id,
    )
    stranger, parts = api_key_text.made(api_key_text.TEST)
    await superuser.execute("UPDATE api_keys SET lookup = $2 WHERE id = $1", guessed.key.key_id, parts.lookup)
    unknown, _ = api_key_text.made(api_key_text.TEST)
    for made in (wrong_place, revoked, expired):
        with pytest.raises(ApiKeyInvalid) as caught:
            await programs.key_verifier.verify(made.secret, HERE)
        named = caught.value.principal
        assert (named.tenant_id, named.actor) == (tenants[0].tenant_id, f"api_key:{made.key.key_id}")
    for shown in (stranger, unknown):
        with pytest.raises(ApiKeyInvalid) as caught:
            await programs.key_verifier.verify(shown, HERE)
        assert caught.value.principal is None


@pytest.mark.parametrize(
    ("allowed", "address", "taken"),
    [
        ("192.0.2.0/24", "192.0.2.7", True),
        ("192.0.2.0/24", "::ffff:192.0.2.7", True),
        ("::ffff:192.0.2.0/120", "192.0.2.7", True),
        ("2001:db8::/32", "2001:db8::1", True),
        ("192.0.2.0/24", "192.0.3.7", False),
        ("192.0.2.0/24", "2001:db8::1", False),
        ("192.0.2.0/24", "", False),
    ],
)
async def test_a_key_is_taken_from_its_addresses_alone(programs, tenants, allowed, address, taken):
    made = await key_of(programs, tenants[0], ip_allowlist=[allowed])
    if taken:
        assert await programs.key_verifier.verify(made.secret, address)
        return
    with pytest.raises(ApiKeyInvalid):
        await programs.key_verifier.verify(made.secret, address)


async def refused_within(programs, shown, seconds=2.0):
    """The key is refused within two seconds."""
    deadline = time.monotonic() + seconds

    async def is_refused():
        try:
            await programs.key_verifier.verify(shown, HERE)
        except ApiKeyInvalid:
            return True
        return False

    return await eventually(is_refused, deadline - time.monotonic(), "refusal")


async def test_a_revoked_key_is_refused_by_every_process_within_two_seconds(programs, elsewhere, tenants):
    made = await key_of(programs, tenants[0])
    assert await elsewhere.key_verifier.verify(made.secret, HERE)
    await programs.keys.revoke(tenants[0].context(), made.key.key_id)
    with pytest.raises(ApiKeyInvalid):
        await programs.key_verifier.verify(made.secret, HERE)
    assert await refused_within(elsewhere, made.secret)


async def test_a_suspended_tenant_stops_its_keys_within_two_seconds_and_resumes_them(
    programs, tenants, superuser
):
    made = await key_of(programs, tenants[0])
    assert await programs.key_verifier.verify(made.secret, HERE)
    await superuser.execute("UPDATE tenants SET status = 'SUSPENDED' WHERE id = $1", tenants[0].tenant_id)
    assert await refused_within(programs, made.secret)
    await superuser.execute("UPDATE tenants SET status = 'ACTIVE' WHERE id = $1", tenants[0].tenant_id)

    async def is_taken():
        try:
            return await programs.key_verifier.verify(made.secret, HERE)
        except ApiKeyInvalid:
            return None

    assert await eventually(is_taken, 2.5, "the key works again")


async def test_a_disabled_maker_stops_the_keys_and_a_new_role_does_not(programs, tenants, superuser):
    made = await key_of(programs, tenants[0])
    assert await programs.key_verifier.verify(made.secret, HERE)
    await superuser.execute("UPDATE tenant_users SET role = 'admin' WHERE user_id = $1", tenants[0].user_id)
    end = time.monotonic() + 2.2
    while time.monotonic() < end:
        assert await programs.key_verifier.verify(made.secret, HERE)
        await asyncio.sleep(0.2)
    await superuser.execute("UPDATE users SET status = 'DISABLED' WHERE id = $1", tenants[0].user_id)
    assert await refused_within(programs, made.secret)


async def test_an_expired_key_is_refused_although_its_row_is_remembered(programs, tenants):
    made = await key_of(programs, tenants[0], expires_at=now() + timedelta(seconds=0.5))
    assert await programs.key_verifier.verify(made.secret, HERE)
    assert await refused_within(programs, made.secret)


async def test_rotation_without_overlap_ends_the_old_key_at_once(programs, tenants):
    old = await key_of(programs, tenants[0], ip_allowlist=["192.0.2.0/24"])
    assert await programs.key_verifier.verify(old.secret, HERE)
    new = await programs.keys.rotate(tenants[0].context(), old.key.key_id, overlap_s=0)
    assert (new.key.scopes, new.key.ip_allowlist) == (old.key.scopes, old.key.ip_allowlist)
    assert await programs.key_verifier.verify(new.secret, HERE)
    with pytest.raises(ApiKeyInvalid):
        await programs.key_verifier.verify(old.secret, HERE)


async def test_rotation_keeps_the_old_key_for_the_overlap_and_happens_once(programs, tenants):
    old = await key_of(programs, tenants[0])
    ctx = tenants[0].context()
    new = await programs.keys.rotate(ctx, old.key.key_id, overlap_s=3600)
    assert timedelta(minutes=59) < new.old_expires_at - now() <= timedelta(hours=1)
    assert await programs.key_verifier.verify(old.secret, HERE)
    assert await programs.key_verifier.verify(new.secret, HERE)
    with pytest.raises(FailedPrecondition) as caught:
        await programs.keys.rotate(ctx, old.key.key_id, overlap_s=0)
    assert caught.value.reason == "API_KEY_ENDED"
    for overlap in (59, 24 * 3600 + 1, -1):
        with pytest.raises(InvalidArgument):
            await programs.keys.rotate(ctx, new.key.key_id, overlap_s=overlap)


async def test_rotation_gives_nobody_a_key_beyond_the_own_scopes(programs, tenants):
    old = await key_of(programs, tenants[0], scopes=["models.write"])
    with pytest.raises(PermissionDenied) as caught:
        await programs.keys.rotate(tenants[0].context(role="analyst"), old.key.key_id, overlap_s=0)
    assert caught.value.reason == "SCOPE_MISSING"


async def test_a_leaked_key_is_ended_by_whoever_finds_it_whole(programs, tenants, superuser):
    made, spared = await key_of(programs, tenants[0]), await key_of(programs, tenants[0])
    anyone = type(tenants[0].context())("a-request", None, 0.0, "203.0.113.9")
    stranger, _ = api_key_text.made(api_key_text.TEST)
    for shown in (made.secret, made.secret, stranger, "rubbish", spared.secret[:-1] + "?"):
        assert await programs.keys.revoke_leaked(anyone, shown) is None
    with pytest.raises(ApiKeyInvalid):
        await programs.key_verifier.verify(made.secret, HERE)
    assert await programs.key_verifier.verify(spared.secret, HERE)
    [leaked] = await audited(superuser, "identity.api_key.leaked")
    assert f"apiKeys/{made.key.key_id}" in leaked


async def test_finding_a_key_costs_the_same_whether_or_not_it_is_one(programs, tenants, statements):
    made = await key_of(programs, tenants[0])
    anyone = type(tenants[0].context())("a-request", None, 0.0, "203.0.113.9")
    unknown, _ = api_key_text.made(api_key_text.TEST)
    # Whoever has the whole key may know that it was one; the first of these ends it.
    await programs.keys.revoke_leaked(anyone, made.secret)
    asked = []
    for shown in (made.secret, unknown, made.secret[:-1] + "?", "rubbish"):
        statements.clear()
        await programs.keys.revoke_leaked(anyone, shown)
        asked.append(tuple(one for one in statements if "api_key" in one))
    assert len(set(asked)) == 1
    assert [one.split()[0] for one in asked[0]] == ["SELECT", "UPDATE"]


async def test_a_flood_of_bad_keys_writes_one_row_a_minute(programs, tenants, superuser):
    made = await key_of(programs, tenants[0], ip_allowlist=["198.51.100.1"])
    for _ in range(200):
        with pytest.raises(ApiKeyInvalid):
            await programs.key_verifier.verify(made.secret, HERE)
    await programs.close()
    [refused] = await audited(superuser, "identity.api_key.refused")
    assert '"ADDRESS_NOT_ALLOWED"' in refused
    assert '"DENIED"' in refused


async def test_the_last_use_is_written_once_for_many_calls(programs, elsewhere, tenants, superuser):
    made = await key_of(programs, tenants[0])
    for _ in range(50):
        await programs.key_verifier.verify(made.secret, HERE)

    async def used():
        return await superuser.fetchrow(
            "SELECT last_used_at, xmin::text AS version FROM api_keys WHERE last_used_at IS NOT NULL"
        )

    first = await eventually(used, 5, "last_used_at")
    # Another process notes the same use within the minute.
    await elsewhere.key_verifier.verify(made.secret, HERE)
    await elsewhere.close()
    assert dict(await used()) == dict(first)


async def test_keys_of_another_tenant_are_missing(programs, tenants):
    made = await key_of(programs, tenants[0])
    foreign = tenants[1].context()
    for key_id in (made.key.key_id, uuid7()):
        with pytest.raises(NotFound) as revoked:
            await programs.keys.revoke(foreign, key_id)
        with pytest.raises(NotFound) as rotated:
            await programs.keys.rotate(foreign, key_id, overlap_s=0)
        assert revoked.value.message == rotated.value.message
    assert await programs.keys.page(foreign, None, 10) == []
    assert await programs.key_verifier.verify(made.secret, HERE)


async def test_keys_that_ended_long_ago_are_tidied_away(programs, database, redis_client, tenants, superuser):
    old, young = await key_of(programs, tenants[0]), await key_of(programs, tenants[0])
    await superuser.execute(
        "UPDATE api_keys SET expires_at = clock_timestamp() - interval '91 d' WHERE id = $1", old.key.key_id
    )
    revocations = Revocations(database, redis_client, 630)
    jobs = Programs(database, revocations, is_live=False)
    assert await jobs.tidy() == 1
    await jobs.close()
    await revocations.close()
    assert [key.key_id for key in await programs.keys.page(tenants[0].context(), None, 10)] == [
        young.key.key_id
    ]
