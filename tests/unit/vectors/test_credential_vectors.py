"""The W3C's vectors of credentials, where they lie beside the checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.vectors.formats import FORMATS
from tests.vectors.runner import FAILED, PASSED, run

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "vc"


@pytest.fixture
def vectors():
    """The folder; without it nothing is checked."""
    if not FOLDER.is_dir():
        pytest.skip("NOT CHECKED: the vectors of credentials are not at hand")
    return FOLDER


def test_every_vector_is_reproduced(vectors):
    said = []
    assert run(vectors, FORMATS, say=said.append) == PASSED, said
    assert not [line for line in said if "not recognised" in line]


@pytest.mark.parametrize("name", ["docHashJCS.txt", "canonDocJCS.txt", "signedJCS.json", "sigHexJCS.txt"])
def test_a_vector_that_says_something_else_fails(vectors, tmp_path, name):
    shutil.copytree(vectors / "eddsa", tmp_path / "eddsa", copy_function=shutil.copyfile)
    path = next(tmp_path.rglob(name))
    text = path.read_text()
    at = text.index("z2Hn") + 9 if name.endswith(".json") else len(text) // 2
    changed = "1" if text[at] != "1" else "2"
    path.chmod(0o644)
    path.write_text(text[:at] + changed + text[at + 1 :])
    assert run(tmp_path, FORMATS, say=lambda _line: None) == FAILED
