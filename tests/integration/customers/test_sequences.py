"""Weekly sequences beside the stored features, and since when a purchase-day is known."""

import asyncio

import numpy as np
import pytest

from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.purchase_days import PurchaseDays
from cohortlens.contracts.sequences import SEQUENCE, split, weekly_sequences
from cohortlens.customers.frozen import FeatureFreezer
from cohortlens.customers.lookup import FeatureLookup

ROWS = ("a,2024-01-01,10", "a,2024-01-09,20.50", "b,2023-12-02,5", "c,2024-01-03,7", "d,2024-01-09,-3")
NAMES = ["external:c", "external:a", "external:b"]


@pytest.fixture
async def stocked(shop, csv):
    await shop.load(csv(*ROWS))
    return shop


@pytest.fixture
def lookup(database, service):
    return FeatureLookup(database, service)


async def known_days(shop):
    taken = await shop.service.training_snapshot(shop.tenant.tenant_id)
    table, as_of = taken.table, taken.as_of
    days = PurchaseDays.from_columns({name: table[name].to_numpy() for name in table.column_names})
    return days, (as_of - as_of.fromordinal(719163)).days


async def days_and_since(shop):
    days, _ = await known_days(shop)
    return {
        (int(who), str(np.datetime64(int(day), "D"))): str(np.datetime64(int(known), "D"))
        for who, day, known in zip(days.customer, days.day, days.known, strict=True)
    }


async def test_the_stored_sequence_is_that_of_the_training_snapshot(stocked, lookup):
    rows = await lookup.features_by_name(stocked.ctx, NAMES, wide=True)
    features, sequences = split(rows.matrix)
    narrow = await lookup.features_by_name(stocked.ctx, NAMES)
    assert rows.external_ids == narrow.external_ids == ("c", "a", "b")
    assert np.array_equal(features, narrow.matrix, equal_nan=True)
    days, as_of = await known_days(stocked)
    assert np.array_equal(sequences, weekly_sequences(days, as_of, 4)[[2, 0, 1]])
    assert sequences.any(axis=(1, 2)).all()


async def test_an_import_renews_the_sequence(stocked, lookup, csv):
    before = (await lookup.features_by_name(stocked.ctx, ["external:b"], wide=True)).matrix
    await stocked.load(csv("b,2024-01-20,5"))
    after = (await lookup.features_by_name(stocked.ctx, ["external:b"], wide=True)).matrix
    assert split(before)[1][0, -1, 0] == 0
    assert split(after)[1][0, -1, 0] == pytest.approx(np.log(2))


async def test_rows_of_an_earlier_release_gain_a_sequence_when_one_is_wanted_and_not_before(
    stocked, lookup, superuser
):
    expected = (await lookup.features_by_name(stocked.ctx, NAMES, wide=True)).matrix
    await superuser.execute("UPDATE customer_features SET sequence = NULL, sequence_hash = NULL")
    await lookup.features_by_name(stocked.ctx, NAMES)
    assert await superuser.fetchval("SELECT count(sequence) FROM customer_features") == 0
    found = (await lookup.features_by_name(stocked.ctx, NAMES, wide=True)).matrix
    assert np.array_equal(found, expected, equal_nan=True)
    hashes = await superuser.fetch("SELECT DISTINCT sequence_hash FROM customer_features")
    assert [row["sequence_hash"] for row in hashes] == [SEQUENCE.hash]


async def test_a_sequence_of_another_schema_is_made_again(stocked, lookup, superuser):
    expected = (await lookup.features_by_name(stocked.ctx, NAMES, wide=True)).matrix
    await superuser.execute(
        "UPDATE customer_features SET sequence = '\\x00', sequence_hash = repeat('0', 64)"
    )
    found = (await lookup.features_by_name(stocked.ctx, NAMES, wide=True)).matrix
    assert np.array_equal(found, expected, equal_nan=True)


async def test_calls_that_want_the_sequence_and_calls_that_do_not_never_mix(stocked, lookup):
    found = await asyncio.gather(
        *(lookup.features_by_name(stocked.ctx, NAMES, wide=at % 2 == 0) for at in range(12))
    )
    assert [rows.matrix.shape[1] for rows in found] == [196, 36] * 6


@pytest.mark.parametrize("wide", [False, True])
async def test_all_customers_come_with_or_without_their_sequence(stocked, lookup, database, superuser, wide):
    await superuser.execute("UPDATE customer_features SET sequence = NULL, sequence_hash = NULL")
    frozen = b""
    async with FeatureFreezer(database, lookup).freeze(stocked.tenant.tenant_id, wide=wide) as found:
        async for chunk in found.rows:
            frozen += chunk.vectors
    chunks, after = [], None
    while rows := await lookup.features_after(stocked.tenant.tenant_id, after, 2, wide=wide):
        chunks.append(rows.matrix)
        after = rows.customer_ids[-1]
    assert np.concatenate(chunks).astype("<f4").tobytes() == frozen
    assert len(frozen) == 3 * 4 * (196 if wide else len(SCHEMA.columns))


async def test_a_history_that_comes_in_two_files_is_not_late(stocked, csv):
    await stocked.load(csv("c,2024-01-05,1", "e,2023-12-20,2"))
    found = await days_and_since(stocked)
    assert len(found) == 7
    assert all(day == known for (_, day), known in found.items())


async def test_a_correction_of_days_already_covered_is_known_from_its_import_on(stocked, csv, superuser):
    await superuser.execute("UPDATE imports SET created_at = '2024-01-04T08:00:00Z'")
    await stocked.load(csv("c,2024-01-05,1", "c,2024-01-02,4", "e,2024-01-12,2"))
    found = await days_and_since(stocked)
    # Counted from the last day of data: by now it is known, and at no earlier cut it was.
    assert found[2, "2024-01-05"] == "2024-01-12"
    # From before the first import, and from behind the days covered so far.
    assert found[2, "2024-01-02"] == "2024-01-02"
    assert found[4, "2024-01-12"] == "2024-01-12"


async def test_the_file_itself_may_say_since_when_a_row_is_known(shop, csv):
    rows = ("a,2024-01-01,10,2024-01-01", "a,2024-01-03,5,2024-02-07", "b,2024-03-01,1,2024-03-01")
    await shop.load(csv(*rows, header="customer,date,amount,known_at"))
    found = await days_and_since(shop)
    assert found[0, "2024-01-03"] == "2024-02-07"
    assert found[0, "2024-01-01"] == "2024-01-01"


async def test_what_became_known_behind_the_last_day_of_data_counts_in_todays_features(shop, lookup, csv):
    rows = ("a,2024-01-01,10,2024-01-01", "a,2024-01-03,5,2024-02-07")
    await shop.load(csv(*rows, header="customer,date,amount,known_at"))
    found = await lookup.features_by_name(shop.ctx, ["external:a"])
    assert found.matrix[0, SCHEMA.index("x")] == 1
