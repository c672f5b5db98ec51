"""What is generated from the code is current."""

from pathlib import Path

import pytest

from docs.generate import GENERATED

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_file_is_current(name):
    assert (ROOT / name).read_text(encoding="utf-8") == GENERATED[name](), "stale; next: make format"


def test_every_setting_has_a_meaning_and_stands_once_in_the_example():
    names = [
        line[1:].split("=")[0]
        for line in (ROOT / ".env.example").read_text().splitlines()
        if line[:12] == "#COHORTLENS_"
    ]
    assert len(names) == len(set(names))
    assert len(names) > 20
