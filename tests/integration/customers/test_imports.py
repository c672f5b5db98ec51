import random

import pytest

from cohortlens.core.errors import InvalidArgument, Unavailable
from cohortlens.customers import features
from cohortlens.customers.models import ImportNotFound

ROWS = ("a,2024-01-01,10", "a,2024-01-09,20.50", "b,2024-01-02,5", "c,2024-01-03,7")


async def test_an_upload_is_answered_at_once_and_asked_for_in_the_same_transaction(shop, csv, superuser):
    started = await shop.start(csv(*ROWS), file_name="orders.csv", dry_run=True)
    assert (started.state, started.options.file_name, started.options.dry_run) == (
        "PENDING",
        "orders.csv",
        True,
    )
    row = await superuser.fetchrow("SELECT topic, payload::text FROM outbox")
    assert row["topic"] == "import.requested"
    assert str(started.import_id) in row["payload"]
    assert await superuser.fetchval("SELECT count(*) FROM customers") == 0


async def test_an_import_writes_customers_days_features_and_one_event(shop, csv, superuser):
    done = await shop.load(csv(*ROWS))
    assert (done.state, done.progress_ratio, done.new_customers) == ("SUCCEEDED", 1.0, 3)
    assert done.ended_at is not None
    found = await shop.service.get_customer(shop.ctx, "external:a")
    assert (found.purchase_days, found.orders, found.spend_minor, found.currency) == (2, 2, 3050, "USD")
    assert (str(found.first_purchase_on), str(found.last_purchase_on)) == ("2024-01-01", "2024-01-09")
    topics = await superuser.fetch("SELECT topic FROM outbox ORDER BY id")
    assert [row["topic"] for row in topics] == ["import.requested", "transactions.imported"]
    assert await superuser.fetchval("SELECT count(*) FROM customer_features") == 3
    assert list(shop.service.spool.files()) == []


async def test_running_a_finished_import_again_changes_nothing(shop, csv, contents, superuser):
    done = await shop.load(csv(*ROWS))
    before = await contents()
    await shop.service.run_import(shop.tenant.tenant_id, done.import_id)
    assert await contents() == before
    assert await superuser.fetchval("SELECT count(*) FROM outbox") == 2


async def test_the_same_file_again_is_all_duplicates_and_tells_nobody(shop, csv, contents, superuser):
    await shop.load(csv(*ROWS))
    before = await contents()
    again = await shop.load(csv(*ROWS))
    assert (again.rows.accepted, again.rows.duplicate) == (0, 4)
    assert await contents() == before
    assert await superuser.fetchval("SELECT count(*) FROM outbox WHERE topic = 'transactions.imported'") == 1


async def test_a_dry_run_counts_what_it_would_do_and_writes_nothing(shop, csv, contents):
    await shop.load(csv(*ROWS[:2]))
    before = await contents()
    dry = await shop.load(csv(*ROWS, "d,bad,1"), dry_run=True)
    assert dry.state == "SUCCEEDED"
    assert (dry.rows.read, dry.rows.accepted, dry.rows.duplicate, dry.rows.rejected) == (5, 2, 2, 1)
    assert dry.new_customers == 2
    assert await contents() == before


async def test_order_of_rows_and_split_of_the_file_change_no_feature(shop, other_shop, csv):
    chance = random.Random(7)
    rows = [
        f"c{chance.randrange(20)},2024-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d},"
        f"{chance.randrange(-500, 5000) / 100},o{n // 2}"
        for n in range(300)
    ]
    header = "customer,date,amount,order_id"
    await shop.load(csv(*rows, header=header))
    chance.shuffle(rows)
    for part in (rows[:90], rows[60:200], rows[200:]):
        await other_shop.load(csv(*part, header=header))
    ours, theirs = [], []
    for one, found in ((shop, ours), (other_shop, theirs)):
        async for batch in one.service.all_features(one.tenant.tenant_id, 7):
            found += [(e, v.tobytes()) for e, v in zip(batch.external_ids, batch.matrix, strict=True)]
    assert len(ours) > 10
    assert sorted(ours) == sorted(theirs)


async def test_a_sale_that_is_reversed_the_same_day_is_no_purchase(shop, csv):
    header = "customer,ts,amount,invoice"
    await shop.load(
        csv(
            "a,2024-01-01 09:00,80,1",
            "a,2024-01-01 09:00,20,1",
            "a,2024-01-01 17:00,-100,C1",
            "a,2024-01-05 09:00,30,2",
            "a,2024-01-06 09:00,-10,C2",
            header=header,
        )
    )
    found = await shop.service.get_customer(shop.ctx, "external:a")
    assert (found.purchase_days, found.orders, found.spend_minor) == (1, 1, 3000)
    assert str(found.first_purchase_on) == "2024-01-05"


async def test_a_later_file_extends_an_order_of_an_earlier_one(shop, csv):
    header = "customer,date,amount,order_id"
    await shop.load(csv("a,2024-01-01,10,1", header=header))
    await shop.load(csv("a,2024-01-01,15,1", "a,2024-02-01,1,2", header=header))
    found = await shop.service.get_customer(shop.ctx, "external:a")
    assert (found.orders, found.spend_minor) == (2, 2600)


async def test_refused_rows_are_listed_page_by_page_in_file_order(shop, csv):
    done = await shop.load(csv(*ROWS, *(f"x{n},never,1" for n in range(5))))
    assert (done.rows.accepted, done.rows.rejected) == (4, 5)
    rows, token = [], ""
    while True:
        page = await shop.service.list_import_faults(shop.ctx, done.import_id, 2, token)
        rows += [(fault.row, fault.line, fault.column, fault.reason, fault.preview) for fault in page.items]
        token = page.next_page_token
        if not token:
            break
    assert rows == [(n, n + 1, "date", "DATE_INVALID", "never") for n in range(5, 10)]


@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        (b"x,y\n1,2\n", {}, "HEADER_MISSING"),
        (b"customer,date,amount\n", {}, "FILE_EMPTY"),
        (b"customer,date,amount\na,2024-01-01,1\nb,2024-01-01,?\n", {"abort_on_fault": True}, "ROW_INVALID"),
        (b"PAR1", {}, "PARQUET_UNREADABLE"),
    ],
)
async def test_a_file_that_is_refused_ends_failed_with_reason_and_nothing_written(
    shop, contents, data, options, reason
):
    before = await contents()
    done = await shop.load(data, **options)
    assert (done.state, done.error_reason) == ("FAILED", reason)
    assert done.error_message
    assert await contents() == before
    assert list(shop.service.spool.files()) == []


async def test_nul_characters_anywhere_in_a_row_can_still_be_reported(shop):
    done = await shop.load(b"customer,date,amount\na\0,2024-01-01,1\n\0,\0\nb,2024-01-01,1\n")
    assert (done.state, done.rows.accepted, done.rows.rejected) == ("SUCCEEDED", 1, 2)
    page = await shop.service.list_import_faults(shop.ctx, done.import_id, 0, "")
    assert [fault.preview for fault in page.items] == ["a\ufffd", "\ufffd,\ufffd"]


async def test_another_currency_than_before_is_refused(shop, csv, contents):
    await shop.load(csv(*ROWS), currency="EUR")
    before = await contents()
    done = await shop.load(csv("z,2024-03-01,1"), currency="USD")
    assert (done.state, done.error_reason) == ("FAILED", "CURRENCY_MISMATCH")
    assert await contents() == before


async def test_a_failure_at_the_end_of_phase_two_writes_nothing_and_the_retry_all(
    shop, csv, contents, monkeypatch
):
    started = await shop.start(csv(*ROWS))
    before = await contents()

    async def broken(*_):
        raise Unavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(features, "rebuild_features", broken)
        with pytest.raises(Unavailable):
            await shop.service.run_import(shop.tenant.tenant_id, started.import_id)
    assert await contents() == before
    assert (await shop.service.get_import(shop.ctx, started.import_id)).state == "RUNNING"
    await shop.service.run_import(shop.tenant.tenant_id, started.import_id)
    done = await shop.service.get_import(shop.ctx, started.import_id)
    assert (done.state, done.rows.accepted, done.new_customers) == ("SUCCEEDED", 4, 3)


async def test_a_disk_that_is_full_during_the_work_holds_the_import_up_and_spoils_nothing(
    shop, csv, contents
):
    started = await shop.start(csv(*ROWS))
    before = await contents()
    accepted = shop.service.spool.work_path(shop.tenant.tenant_id, started.import_id)
    accepted.symlink_to("/dev/full")  # the kernel's own full disk
    with pytest.raises(Unavailable) as caught:
        await shop.service.run_import(shop.tenant.tenant_id, started.import_id)
    assert caught.value.reason == "DISK_FULL"
    assert await contents() == before
    accepted.unlink()
    await shop.service.run_import(shop.tenant.tenant_id, started.import_id)
    done = await shop.service.get_import(shop.ctx, started.import_id)
    assert (done.state, done.rows.accepted) == ("SUCCEEDED", 4)


async def test_an_upload_that_was_lost_is_said_to_be(shop, csv):
    started = await shop.start(csv(*ROWS))
    shop.service.spool.discard(shop.tenant.tenant_id, started.import_id)
    await shop.service.run_import(shop.tenant.tenant_id, started.import_id)
    done = await shop.service.get_import(shop.ctx, started.import_id)
    assert (done.state, done.error_reason) == ("FAILED", "FILE_LOST")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"columns": {"colour": "x"}}, "options.columns[colour]"),
        ({"encoding": "klingon"}, "options.encoding"),
        ({"currency": "ZZZ"}, "options.currency"),
        ({"file_name": "a\0b"}, "options.file_name"),
        ({"columns": {"time": "a\0b"}}, "options.columns[time]"),
        ({"delimiter": '"'}, "options.delimiter"),
    ],
)
async def test_options_that_cannot_work_are_refused_before_a_byte_is_stored(shop, csv, options, field):
    with pytest.raises(InvalidArgument) as caught:
        await shop.start(csv(*ROWS), **options)
    assert caught.value.violations[0].field == field
    assert list(shop.service.spool.files()) == []


async def test_an_empty_upload_leaves_neither_row_nor_file(shop, superuser):
    with pytest.raises(InvalidArgument) as caught:
        await shop.start(b"")
    assert caught.value.reason == "FILE_EMPTY"
    assert await superuser.fetchval("SELECT count(*) FROM imports") == 0


async def test_imports_are_listed_newest_first_and_only_ones_own(shop, other_shop, csv):
    made = [(await shop.start(csv(*ROWS))).import_id for _ in range(3)]
    foreign = await other_shop.start(csv(*ROWS))
    first = await shop.service.list_imports(shop.ctx, 2, "")
    second = await shop.service.list_imports(shop.ctx, 2, first.next_page_token)
    assert [found.import_id for found in [*first.items, *second.items]] == made[::-1]
    assert second.next_page_token == ""
    with pytest.raises(InvalidArgument) as caught:
        await other_shop.service.list_imports(other_shop.ctx, 2, first.next_page_token)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"
    with pytest.raises(ImportNotFound) as unknown:
        await shop.service.get_import(shop.ctx, foreign.import_id)
    with pytest.raises(ImportNotFound) as faults:
        await shop.service.list_import_faults(shop.ctx, foreign.import_id, 0, "")
    assert str(unknown.value) == str(faults.value)


async def test_only_forgotten_files_are_swept(shop, csv):
    waiting = await shop.start(csv(*ROWS))
    spool = shop.service.spool
    orphan = spool.path(shop.tenant.tenant_id, shop.tenant.user_id)
    orphan.with_name(orphan.name + ".part").write_bytes(b"half an upload")
    orphan.write_bytes(b"an upload whose row was never written")
    assert await shop.service.work.sweep(older_than_s=3600) == 0
    assert await shop.service.work.sweep(older_than_s=-60) == 2
    assert [entry[2] for entry in spool.files()] == [waiting.import_id]
