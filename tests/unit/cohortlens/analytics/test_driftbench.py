"""The benchmark of drift: any file, columns without settings, what a planted shift and pure chance show."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pytest

from cohortlens.analytics.drift.order_table import DataUnreadable, read_orders
from cohortlens.analytics.driftbench import BAD_INPUT, DONE, main


def write(path, rows=1_800, header=("kunde", "beleg", "wann", "summe", "filiale", "notiz")):
    rng = np.random.default_rng(0)
    with gzip.open(path, "wt", newline="") as file:
        out = csv.writer(file)
        out.writerow(header)
        for row in range(rows):
            when = f"2025-{row // 300 + 1:02d}-{row % 28 + 1:02d} {row % 13 + 8:02d}:30:00"
            shop = "ABCDEFG"[int(rng.integers(0, 7)) if rng.random() < 0.6 else 0]
            out.writerow([row % 400, row // 2, when, round(float(rng.gamma(2, 20)), 2), shop, f"note {row}"])
    return path


NAMED = "customer=kunde,order=beleg,time=wann,amount=summe"


def test_lines_become_orders_and_other_columns_categories_of_the_four_commonest(tmp_path):
    table = read_orders(write(tmp_path / "x.csv.gz"), dict(one.split("=") for one in NAMED.split(",")))
    assert (table.rows, len(table.times), table.customers) == (1_800, 900, 400)
    assert set(table.columns) == {"amount", "hour", "weekday", "filiale"}
    assert len(np.unique(table.columns["filiale"])) == 5
    assert "other" in table.columns["filiale"]
    assert table.columns["hour"].min() == 8.0
    half = table.first_half()
    assert 300 < len(half["amount"]) < 600


def test_the_benchmark_prints_every_rule_and_writes_its_figures(tmp_path, capsys):
    source, target = write(tmp_path / "x.csv.gz"), tmp_path / "out.json"
    asked = ["--data", str(source), "--columns", NAMED, "--reps", "8", "--json", str(target)]
    assert main(asked) == DONE
    said = capsys.readouterr().out
    document = json.loads(target.read_text())
    assert "amount +50%" in said
    assert "any column" in said
    rows = {one["column"]: one for one in document["rows"]}
    assert set(rows) == {
        "amount",
        "hour",
        "weekday",
        "filiale",
        "any",
        "amount +10%",
        "amount +25%",
        "amount +50%",
    }
    assert rows["amount +50%"]["uncorrected"] > rows["amount"]["uncorrected"]
    assert (rows["amount"]["chi2_one_sample"], rows["weekday"]["wasserstein"]) == (None, None)
    assert document["n_ref"] + document["n_cur"] == document["data"]["orders_drawn_from"]
    first = document["rows"]
    assert main(asked) == DONE
    assert json.loads(target.read_text())["rows"] == first, "the same seed gives the same figures"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("nothing here\n1\n", "HEADER_MISSING"),
        ("customer_id,date,amount\n1,no day,5\n", "DATA_UNREADABLE"),
        ("customer_id,date,amount\n" + "1,2025-01-01,5\n" * 50, "SAMPLE_TOO_SMALL"),
    ],
)
def test_a_file_that_cannot_be_measured_is_refused_with_its_reason(tmp_path, capsys, content, reason):
    path = tmp_path / "x.csv"
    path.write_text(content)
    assert main(["--data", str(path)]) == BAD_INPUT
    assert capsys.readouterr().err.startswith(f"error {reason}: ")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataUnreadable, match="give DATA the path"):
        read_orders(tmp_path / "gone.csv")
