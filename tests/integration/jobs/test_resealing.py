"""A change of the installation's key, by doing it: traffic beside it, a kill, the old key removed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.exc import ProgrammingError

from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.ids import PLATFORM_TENANT_ID, uuid7s
from cohortlens.core.mail import MAIL_PURPOSE, MailQueue
from cohortlens.core.resealing import Resealer, SealedColumn, uuid_of
from cohortlens.core.sealing import Keyring, SealBroken, Sealer, key_id
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.access.signing_keys import SigningKeys
from cohortlens.jobs.resealing import SEALED_COLUMNS, TENANT_SEALED, reseal_all, resealer

OLD, NEW, OTHER = bytes(range(32)), bytes(range(1, 33)), bytes(range(2, 34))
ROOT = Path(__file__).resolve().parents[3]
SESSIONS = 600
SEALED_IN_CATALOGUE = """
SELECT c.relname || '.' || a.attname AS name FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
AND a.atttypid = 'bytea'::regtype AND NOT a.attisdropped AND a.attname ~ '(_enc|_wrapped|^sealed)$'
"""


async def test_every_column_of_sealed_values_is_known_and_reachable(superuser, database):
    stored = {row["name"] for row in await superuser.fetch(SEALED_IN_CATALOGUE)}
    known = {column.name for column in SEALED_COLUMNS}
    assert stored == known | TENANT_SEALED
    allowed = await superuser.fetch("SELECT target || '.' || column_name AS name FROM app.sealed_columns()")
    assert {row["name"] for row in allowed} == known
    assert await resealer(database, Keyring(OLD)).counts() is not None


@pytest.fixture
async def sealed(database, tenants, superuser):
    """A tenant with sealed values of every kind under the old key; its sessions' keys by session."""
    keys = TenantKeys(OLD)
    tenant = tenants[0]
    async with database.transaction() as tx:
        invitation = (await keys.sealer(tx, tenant.tenant_id, "invitations.email_enc")).seal(b"ada", b"row")
    await SigningKeys(database, OLD).ensure()
    async with database.tenant_transaction(PLATFORM_TENANT_ID) as tx:
        mail = await MailQueue(tx, Sealer(OLD, MAIL_PURPOSE)).put(
            "ada@shop.example", "verify_email", {"token": "t"}
        )
    secrets = {one: os.urandom(32) for one in uuid7s(SESSIONS)}
    sealer = Sealer(OLD, "refresh-key")
    await superuser.execute(
        "INSERT INTO sessions (tenant_id, id, user_id, refresh_key_enc)"
        " SELECT $1, s.id, $2, s.key FROM unnest($3::uuid[], $4::bytea[]) AS s (id, key)",
        tenant.tenant_id,
        tenant.user_id,
        list(secrets),
        [sealer.seal(secret, one.bytes) for one, secret in secrets.items()],
    )
    return {"tenant": tenant, "invitation": invitation, "mail": mail, "sessions": secrets}


async def open_everything(database, superuser, sealed, kek):
    """Open every sealed value with one key alone."""
    await SigningKeys(database, kek).ensure()
    async with database.transaction() as tx:
        tenant_sealer = await TenantKeys(kek).sealer(tx, sealed["tenant"].tenant_id, "invitations.email_enc")
    assert tenant_sealer.open(sealed["invitation"], b"row") == b"ada"
    sealer = Sealer(kek, "refresh-key")
    rows = await superuser.fetch("SELECT id, refresh_key_enc FROM sessions")
    assert len(rows) >= SESSIONS
    for row in rows:
        opened = sealer.open(row["refresh_key_enc"], row["id"].bytes)
        assert opened == sealed["sessions"].get(row["id"], opened)
    for column in SEALED_COLUMNS:
        sealer, key = Sealer(kek, column.purpose), "kid" if column.target == "signing_keys" else "id"
        tenant = "tenant_id" if column.target in ("sessions", "mails") else key
        query = f"SELECT {key}, {tenant} AS t, {column.column} AS v FROM {column.target}"
        for row in await superuser.fetch(f"{query} WHERE {column.column} IS NOT NULL"):
            sealer.open(row["v"], column.context({key: str(row[key]), "tenant_id": str(row["t"])}))


async def test_after_a_change_of_the_key_everything_opens_with_the_new_one_alone(database, superuser, sealed):
    keyring = Keyring(NEW, [OLD])
    before = await resealer(database, keyring).counts()
    assert before["sessions.refresh_key_enc"] == {key_id(OLD).hex(): SESSIONS}
    moved = await reseal_all(database, keyring)
    after = await resealer(database, keyring).counts()
    assert moved == sum(sum(counted.values()) for counted in before.values()) > SESSIONS
    assert all(set(counted) <= {key_id(NEW).hex()} for counted in after.values())
    assert await reseal_all(database, keyring) == 0
    await open_everything(database, superuser, sealed, NEW)
    with pytest.raises(FailedPrecondition, match="COHORTLENS_KEK_PREVIOUS"):
        await SigningKeys(database, OLD).ensure()


async def test_a_kill_in_the_middle_loses_nothing_and_the_next_run_ends_the_work(
    database, superuser, sealed, postgres_urls
):
    arguments = [postgres_urls.jobs, NEW.hex(), OLD.hex(), "0.02"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.jobs.resealing_process",
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    added = await _traffic(database, sealed, process)
    await process.wait()
    counted = (await resealer(database, Keyring(NEW)).counts())["sessions.refresh_key_enc"]
    assert set(counted) == {key_id(OLD).hex(), key_id(NEW).hex()}, "the kill came too late or too early"
    assert sum(counted.values()) == SESSIONS + added
    await open_with_both(superuser)
    await reseal_all(database, Keyring(NEW, [OLD]))
    await open_everything(database, superuser, sealed, NEW)


async def _traffic(database, sealed, process):
    """Sessions come while the process works, until it has moved some sessions; then it is killed."""
    added, tenant = 0, sealed["tenant"]
    while True:
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().split()
        session, sealer = uuid4(), Sealer(Keyring(OLD, [NEW]), "refresh-key")
        async with database.tenant_transaction(tenant.tenant_id) as tx:
            await tx.exec_driver_sql(
                "INSERT INTO sessions (tenant_id, id, user_id, refresh_key_enc) VALUES ($1, $2, $3, $4)",
                (tenant.tenant_id, session, tenant.user_id, sealer.seal(os.urandom(32), session.bytes)),
            )
        added += 1
        if line[0] == "sessions.refresh_key_enc" and int(line[1]) >= 150:
            process.send_signal(signal.SIGKILL)
            return added


async def open_with_both(superuser):
    sealer = Sealer(Keyring(OLD, [NEW]), "refresh-key")
    for row in await superuser.fetch("SELECT id, refresh_key_enc FROM sessions"):
        assert len(sealer.open(row["refresh_key_enc"], row["id"].bytes)) == 32


async def test_several_processes_at_once_do_the_work_once(database, superuser, sealed):
    keyring = Keyring(NEW, [OLD])
    before = await resealer(database, keyring).counts()
    moved = await asyncio.gather(*(reseal_all(database, keyring) for _ in range(3)))
    assert sum(moved) == sum(sum(counted.values()) for counted in before.values())
    await open_everything(database, superuser, sealed, NEW)


async def test_a_value_that_traffic_changes_meanwhile_is_left_to_it(
    database, superuser, sealed, postgres_urls
):
    column = SealedColumn("sessions", "refresh_key_enc", "refresh-key", uuid_of("id"))
    session = next(iter(sealed["sessions"]))
    fresh = Sealer(OLD, "refresh-key").seal(b"f" * 32, session.bytes)

    def changed_meanwhile(key):
        if key["id"] == str(session) and not done:
            done.append(key)
            # The value was read, its replacement is not written yet; the loop waits for this thread.
            thread = threading.Thread(target=lambda: asyncio.run(change()))
            thread.start()
            thread.join()
        return column.context(key)

    async def change():
        connection = await asyncpg.connect(postgres_urls.superuser)
        await connection.execute("UPDATE sessions SET refresh_key_enc = $1 WHERE id = $2", fresh, session)
        await connection.close()

    done = []
    slow = SealedColumn(column.target, column.column, column.purpose, changed_meanwhile)
    keyring = Keyring(NEW, [OLD])
    told = [one async for one in Resealer(database, keyring, [slow]).reseal()][-1]
    assert (told.moved, told.changed) == (SESSIONS - 1, 1)
    again = [one async for one in Resealer(database, keyring, [column]).reseal()][-1]
    assert (again.moved, again.changed) == (1, 0)
    stored = await superuser.fetchval("SELECT refresh_key_enc FROM sessions WHERE id = $1", session)
    assert Sealer(NEW, "refresh-key").open(stored, session.bytes) == b"f" * 32


async def test_a_value_that_no_key_opens_is_named_and_stops_nothing(database, superuser, sealed):
    session = next(iter(sealed["sessions"]))
    foreign = Sealer(OTHER, "refresh-key").seal(b"x" * 32, session.bytes)
    await superuser.execute("UPDATE sessions SET refresh_key_enc = $1 WHERE id = $2", foreign, session)
    keyring = Keyring(NEW, [OLD])
    told = {one.column: one async for one in resealer(database, keyring).reseal()}
    assert [key["id"] for key in told["sessions.refresh_key_enc"].broken] == [str(session)]
    assert told["sessions.refresh_key_enc"].moved == SESSIONS - 1
    counted = (await resealer(database, keyring).counts())["sessions.refresh_key_enc"]
    assert counted == {key_id(NEW).hex(): SESSIONS - 1, key_id(OTHER).hex(): 1}


async def test_values_from_before_keys_had_names_are_moved_too(database, superuser, sealed):
    session, secret = next(iter(sealed["sessions"].items()))
    unnamed = _sealed_without_name(OLD, "refresh-key", secret, session.bytes)
    await superuser.execute("UPDATE sessions SET refresh_key_enc = $1 WHERE id = $2", unnamed, session)
    keyring = Keyring(NEW, [OLD])
    assert (await resealer(database, keyring).counts())["sessions.refresh_key_enc"]["unnamed"] == 1
    await reseal_all(database, keyring)
    await open_everything(database, superuser, sealed, NEW)


def _sealed_without_name(kek, purpose, plaintext, context):
    """The format of the first release, written out here so that it can never change."""
    key = HKDF(SHA256(), 32, None, f"cohortlens/{purpose}".encode()).derive(kek)
    nonce = os.urandom(12)
    return b"\x01" + nonce + AESGCM(key).encrypt(nonce, plaintext, b"\x01" + context)


async def test_a_column_that_no_migration_named_cannot_be_reached(database):
    column = SealedColumn("users", "password_hash", "x", uuid_of("id"))
    work = Resealer(database, Keyring(NEW, [OLD]), [column]).reseal()
    with pytest.raises(ProgrammingError, match="is not a column of sealed values"):
        await anext(work)


def test_the_new_key_can_be_given_to_every_process_before_the_first_seals_with_it():
    late, early = Keyring(OLD, [NEW]), Keyring(NEW, [OLD])
    value = Sealer(early, "refresh-key").seal(b"secret", b"row")
    assert Sealer(late, "refresh-key").open(value, b"row") == b"secret"
    with pytest.raises(SealBroken):
        Sealer(OLD, "refresh-key").open(value, b"row")
