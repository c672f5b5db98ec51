"""With COHORTLENS_JSON_ORACLE=1 every test of the HTTP door reads and writes JSON beside the reference."""

import pytest

from tests.fixtures import json_oracle


@pytest.fixture(autouse=True)
def _oracle(monkeypatch):
    if not json_oracle.wanted():
        yield
        return
    with json_oracle.beside(monkeypatch):
        yield
