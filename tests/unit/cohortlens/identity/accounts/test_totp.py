"""Codes as people type them, and recovery codes."""

import pytest

from cohortlens.identity.accounts.totp import new_recovery_codes, normal_code, recovery_digest


@pytest.mark.parametrize(("typed", "meant"), [("123 456", "123456"), (" ABcd-efgh ", "abcdefgh"), ("", "")])
def test_spaces_hyphens_and_case_do_not_matter(typed, meant):
    assert normal_code(typed) == meant


def test_recovery_codes_are_eighty_random_bits_in_groups():
    codes = [code for _ in range(50) for code in new_recovery_codes()]
    assert len(set(codes)) == 500
    assert all(len(code) == 19 and code.count("-") == 3 for code in codes)
    assert all(len(recovery_digest(code)) == 32 for code in codes)


@pytest.mark.parametrize(
    "text", ["", "287082", "abcd-efgh-ijkl-mno", "abcd-efgh-ijkl-mno1", "x" * 5000, "ä" * 16]
)
def test_what_is_no_recovery_code_has_no_digest(text):
    assert recovery_digest(text) is None
