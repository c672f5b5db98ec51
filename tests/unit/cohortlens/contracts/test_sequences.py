"""Weekly sequences by their definition, point in time, and the wide row."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohortlens.contracts.features import SCHEMA, ContractFault
from cohortlens.contracts.featurize import featurize
from cohortlens.contracts.purchase_days import PurchaseDays, purchase_days
from cohortlens.contracts.sequences import (
    SEQUENCE,
    WEEKS,
    WIDE_COLUMNS,
    WIDE_SCHEMA,
    join,
    split,
    weekly_sequences,
)
from tests.fixtures.shops import FIRST_DAY, shop

CUT = FIRST_DAY + 300
DAYS, MONEY, OBSERVED, AGE = range(4)


def test_a_week_holds_its_purchases_its_money_and_the_age_at_its_end():
    # The last week is CUT-6..CUT, the one before CUT-13..CUT-7; the mean of the paid days is 10.
    days = purchase_days(
        [0, 0, 0, 0, 1], [CUT - 20, CUT - 7, CUT - 6, CUT, CUT - 400], [4.0, 0.0, 6.0, 20.0, 10.0]
    )
    first, second = weekly_sequences(days, CUT, 2).astype(np.float64)
    assert first[:, DAYS].nonzero()[0].tolist() == [37, 38, 39]
    assert first[37:, DAYS] == pytest.approx([math.log(2), math.log(2), math.log(3)], rel=1e-6)
    assert first[37:, MONEY] == pytest.approx([math.log1p(0.4), 0.0, math.log1p(2.6)], rel=1e-6)
    assert first[:, OBSERVED].tolist() == [0.0] * 37 + [1.0] * 3
    assert first[37:, AGE] == pytest.approx([6 / 365.25, 13 / 365.25, 20 / 365.25], rel=1e-6)
    # A purchase from before the 40 weeks shows in the age alone.
    assert not second[:, :OBSERVED].any()
    assert second[:, OBSERVED].all()
    assert second[[0, -1], AGE] == pytest.approx([(400 - 39 * 7) / 365.25, 400 / 365.25], rel=1e-6)


def test_a_customer_without_a_purchase_is_all_zero():
    days = purchase_days([0, 1, 2], [CUT, CUT + 1, CUT], [5.0, 5.0, -5.0])
    assert not weekly_sequences(days, CUT, 4)[1:].any()
    assert not weekly_sequences(days.select(days.orders > 5), CUT, 2).any()


@st.composite
def histories(draw):
    """Orders of up to six customers around the cut, some of them known late."""
    orders = draw(
        st.lists(
            st.tuples(
                st.integers(0, 5),
                st.integers(CUT - 350, CUT + 60),
                st.sampled_from([0.0, 0.01, 3.5, 19.99, 1e6, -3.5, -19.99]),
                st.integers(0, 90),
            ),
            min_size=1,
            max_size=60,
        )
    )
    who, day, amount, late = (np.array(column) for column in zip(*orders, strict=True))
    return who, day, amount, day + late


@settings(max_examples=60, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_what_came_after_the_cut_or_was_not_known_at_it_changes_no_bit_of_the_wide_row(history, random):
    who, day, amount, known = history
    everything = purchase_days(who, day, amount, known=known)
    past = everything.select((everything.day <= CUT) & (everything.known <= CUT))
    mixed = np.array(random.sample(range(len(who)), len(who)))
    shuffled = purchase_days(who[mixed], day[mixed], amount[mixed], known=known[mixed])
    expected = wide(everything)
    assert wide(past) == expected
    assert wide(shuffled) == expected
    SEQUENCE.check(weekly_sequences(everything, CUT, 6).reshape(6, -1))


def wide(days: PurchaseDays) -> bytes:
    return join(featurize(days, CUT, 6), weekly_sequences(days, CUT, 6)).tobytes()


def test_another_customer_changes_nothing_but_the_scale_of_money():
    days = shop(20, 420)
    alone = weekly_sequences(days.select(days.customer < 19), CUT, 20)
    together = weekly_sequences(days, CUT, 20)
    for channel in (DAYS, OBSERVED, AGE):
        assert np.array_equal(alone[:19, :, channel], together[:19, :, channel])
    spent = alone[:19, :, MONEY] > 0.01
    before, after = (np.expm1(one[:19, :, MONEY][spent].astype(float)) for one in (alone, together))
    assert after / before == pytest.approx((after / before)[0], rel=1e-4)
    assert (after / before)[0] != 1.0


def test_money_in_another_unit_gives_the_same_sequence():
    days = shop(20, 420)
    columns = days.columns() | {"amount": days.amount * 64}
    assert np.array_equal(
        weekly_sequences(PurchaseDays.from_columns(columns), CUT, 20), weekly_sequences(days, CUT, 20)
    )


def test_extreme_histories_keep_to_the_schema():
    for days in (
        purchase_days([0] * 12_000, np.arange(CUT - 11_999, CUT + 1), [1e15] + [0.01] * 11_999),
        purchase_days([0], [CUT - 39_999], [0.0]),
        purchase_days([0] * 50_000, [CUT] * 50_000, [1.0] * 50_000),
    ):
        sequences = weekly_sequences(days, CUT, 1)
        SEQUENCE.check(sequences.reshape(1, -1))
        assert np.isfinite(sequences).all()


def test_the_schemas_are_what_stored_rows_and_models_name():
    # A change of either makes stored rows and trained models unusable: it needs a new version of the schema.
    assert SCHEMA.hash == "11c56872c86bec2175d19831a84c3b20a83f4c445a73a632c13b45d9fb8c1d13"
    assert SEQUENCE.hash == "22833ad26de7da38c9eaaac5f74d5a59aa7fb7c1b7bcb1b690e8ba42d55042d1"
    assert len(SEQUENCE.columns) == WEEKS * 4
    assert WIDE_COLUMNS == len(WIDE_SCHEMA.columns) == 196
    assert WIDE_SCHEMA.names[35:37] == ("horizon", "w39_days")
    assert WIDE_SCHEMA.names[-4:] == ("w0_days", "w0_money", "w0_observed", "w0_age")


def test_a_wide_row_falls_into_its_parts_again():
    days = shop(20, 420)
    seen = np.unique(days.customer[days.day <= CUT])
    features, sequences = featurize(days, CUT, 20)[seen], weekly_sequences(days, CUT, 20)[seen]
    rows = join(features, sequences)
    WIDE_SCHEMA.check(rows)
    found, weeks = split(rows)
    assert np.array_equal(found, features, equal_nan=True)
    assert np.array_equal(weeks, sequences)
    assert np.shares_memory(weeks, rows)
    assert split(features)[1] is None


@pytest.mark.parametrize("shape", [(3, 35), (3, 160), (3, 197), (36,), (0, 0)])
def test_rows_of_another_width_are_refused(shape):
    with pytest.raises(ContractFault) as fault:
        split(np.zeros(shape, np.float32))
    assert fault.value.reason == "FEATURE_SCHEMA_MISMATCH"
    assert "36" in fault.value.message
    assert "196" in fault.value.message
