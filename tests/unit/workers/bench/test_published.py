"""The literature's figures, each found again from the raw rows."""

from workers.bench.published import checks


def test_every_published_result_is_reproduced_to_the_stated_digits():
    found = checks()
    assert [check for check in found if not check.passed] == []
    assert len(found) == 49
