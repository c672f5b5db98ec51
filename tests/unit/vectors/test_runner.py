"""The runner of vectors fails on what it is there to find, and the vectors of cohorts as the files have them."""

import json

import pytest

from tests.fixtures.public_data import public_data
from tests.vectors.cases import Case, Format, differing
from tests.vectors.cohort import COHORT
from tests.vectors.runner import FAILED, NOTHING, PASSED, run

SHOP = "customer,date,amount\na,2026-01-05,10\nb,2026-01-20,20.5\na,2026-02-10,5\nc,2026-02-11,8\na,2026-03-31,1\n"
CALENDAR = [
    {"cohort": "2026-01", "size": 2, "on": [2, 1, 1], "on_or_after": [2, 1, 1], "revenue": [30.5, 5, 1], "ltv_per_customer": [15.25, 17.75, 18.25]},
    {"cohort": "2026-02", "size": 1, "on": [1, 0], "on_or_after": [1, 0], "revenue": [8, 0], "ltv_per_customer": [8, 8]},
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "shop.csv").write_text(SHOP)
    return tmp_path


def ran(folder, content, formats=(COHORT,), data=None):
    (folder / "below" / "some.json").write_text(content if isinstance(content, str) else json.dumps(content))
    lines = []
    return run(folder, formats, data, lines.append), lines


def changed(**fields):
    return {"data": "shop", "calendar": [{**CALENDAR[0], **fields}, CALENDAR[1]]}


def test_vectors_that_agree_pass_and_are_counted(folder):
    code, lines = ran(folder, {"data": "shop", "calendar": CALENDAR})

    assert code == PASSED
    assert lines == ["below/some.json: 10 passed, 0 failed", "10 passed, 0 failed"]


@pytest.mark.parametrize(
    ("content", "case", "said"),
    [
        (changed(on=[2, 2, 1]), "calendar/2026-01/on", "expected 2, found 1"),
        (changed(size=3), "calendar/2026-01/size", "expected 3, found 2"),
        (changed(revenue=[30.506, 5, 1]), "calendar/2026-01/revenue", "expected 30.506, found 30.5"),
        (changed(ltv_per_customer=[15.25, 17.7501, 18.25]), "calendar/2026-01/ltv_per_customer", "17.7501"),
        (changed(on=[2, 1]), "calendar/2026-01/on", "expected 2 observed periods, found 3"),
        (changed(on=[2, 1, 1, 0]), "calendar/2026-01/on", "expected 4 observed periods, found 3"),
        (
            {"data": "shop", "calendar": CALENDAR[:1]},
            "calendar/2026-02",
            "expected no such cohort, found one",
        ),
        (
            {"data": "shop", "calendar": [*CALENDAR, {**CALENDAR[0], "cohort": "2026-03"}]},
            "calendar/2026-03",
            "expected a cohort, found none",
        ),
        ({"data": "unknown", "calendar": CALENDAR}, "data", "DATA_NOT_FOUND"),
        ({"data": "shop", "calendar": [{"cohort": "2026-01"}]}, "file", "KeyError"),
        ('{"data": "shop", "calendar": [', "file", "expected JSON"),
        ('{"data": "shop", "calendar": NaN}', "file", "NaN"),
    ],
)
def test_whatever_differs_is_a_failed_case_that_is_named(folder, content, case, said):
    code, lines = ran(folder, content)

    assert code == FAILED
    named = [line for line in lines if line.startswith(f"below/some.json/{case}: ")]
    assert named
    assert said in named[0]
    assert lines[-1].endswith(f"{len({line.split(': ')[0] for line in lines[:-2]})} failed")


def test_within_its_tolerance_a_number_agrees(folder):
    code, _ = ran(folder, changed(revenue=[30.504, 5, 1], ltv_per_customer=[15.25001, 17.75001, 18.25]))

    assert code == PASSED


def test_where_nothing_is_recognised_nothing_has_passed(folder):
    assert ran(folder, {"about": "something else"})[0] == NOTHING
    assert ran(folder, "[1, 2]")[0] == NOTHING
    assert run(folder / "missing", (COHORT,), None, lambda _: None) == NOTHING


def test_an_exception_in_a_format_is_one_failed_case_beside_those_before_it(folder):
    def cases(_):
        yield Case("first")
        raise RuntimeError("broken")

    code, lines = ran(folder, {}, [Format("broken", lambda _: True, cases)])

    assert code == FAILED
    assert lines[-1] == "1 passed, 1 failed"


def test_a_vector_without_any_case_has_failed(folder):
    code, _ = ran(folder, {}, [Format("empty", lambda _: True, lambda _: iter(()))])

    assert code == FAILED


def test_data_is_sought_in_the_folder_given_before_others(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("data")
    (elsewhere / "shop_orders.csv").write_text(SHOP.replace("20.5", "21.5"))
    (elsewhere / "shop.csv").write_text(SHOP.replace("20.5", "22.5"))

    _, lines = ran(folder, {"data": "shop", "calendar": CALENDAR}, data=elsewhere)

    assert "found 32.5" in "".join(lines)


@pytest.mark.parametrize(
    ("expected", "found"), [(1.0, float("nan")), (1.0, None), (None, 0.0), (1, True), (1.0, float("inf"))]
)
def test_a_number_that_is_none_never_agrees(expected, found):
    assert differing(expected, found, absolute=10.0)


def test_the_published_cohorts_are_ours():
    for name in ("cdnow_sample.csv.gz", "online_retail_orders.csv.gz"):
        folder = public_data(name).parents[0]
    vectors = folder.parent / "vectors" / "cohort"
    if not vectors.is_dir():
        pytest.skip("NOT CHECKED: the vectors of cohorts are not at hand")
    lines = []

    code = run(vectors, (COHORT,), None, lines.append)

    assert code == PASSED, lines
