"""Erased persons are found in a column of names without any name being stored."""

import hashlib
import hmac

import pyarrow as pa

from cohortlens.customers.erased import ErasedPeople

SECRET = b"secret"


def people(*names):
    return ErasedPeople(
        SECRET, frozenset(hmac.digest(SECRET, name.encode(), hashlib.sha256) for name in names)
    )


def test_every_row_of_an_erased_person_is_marked_and_no_other():
    names = pa.array(["a", "b", None, "a", "c"])
    assert people("a", "x").mask(names).tolist() == [True, False, False, True, False]


def test_the_same_hash_under_another_key_is_nobody():
    other = ErasedPeople(b"other", people("a").hashes)
    assert not other.mask(pa.array(["a"])).any()


def test_without_erased_persons_nothing_is_hashed():
    assert ErasedPeople().mask(pa.array(["a", None])).tolist() == [False, False]


def test_an_empty_column_has_an_empty_mask():
    assert people("a").mask(pa.array([], pa.string())).tolist() == []


def test_a_name_differs_from_one_with_other_case_or_space():
    assert not people("Anna").mask(pa.array(["anna", "Anna ", " Anna"])).any()
