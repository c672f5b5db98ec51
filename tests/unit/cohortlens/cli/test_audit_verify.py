"""``cohortlens audit verify`` on files as somebody has them who has no database: exit code, and the row it names."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cohortlens.audit.lines import jwks
from cohortlens.cli.main import main
from tests.unit.cohortlens.audit.test_export_file import KEYS, chain, export, sealed

ROWS, BAD = 6, 4


@pytest.fixture
def verify(tmp_path, monkeypatch):
    """``verify(lines, "--json")``: exit code and output for an export of these lines."""
    monkeypatch.setenv("COHORTLENS_DATA_DIR", str(tmp_path / "nothing"))
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(jwks(KEYS)))

    def run(lines, *options):
        file = tmp_path / "export.jsonl"
        file.write_bytes(b"".join(lines))
        return CliRunner().invoke(
            main, ["audit", "verify", str(file), "--key", str(keys), *options], prog_name="cohortlens"
        )

    return run


@pytest.fixture
def lines():
    rows = chain(ROWS)
    return export(rows, sealed(rows[2]), sealed(rows[-1]))


def bad_row(written):
    """The place in the file of row ``BAD``: behind the header and the seal of row 3."""
    (at,) = [at for at, line in enumerate(written) if b'\\"n\\":%d}' % BAD in line]
    return at


def test_a_whole_export_is_told_with_exit_code_0(verify, lines):
    result = verify(lines, "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)["data"]
    assert (told["ok"], told["first_bad_seq"], told["rows"], told["checkpoints"]) == (True, None, ROWS, 2)


def test_an_altered_row_is_named_with_exit_code_8(verify, lines):
    at = bad_row(lines)
    lines[at] = lines[at].replace(b'\\"n\\":%d' % BAD, b'\\"n\\":9')
    result = verify(lines, "--json")
    assert result.exit_code == 8
    told = json.loads(result.stdout)["data"]
    assert (told["ok"], told["first_bad_seq"], told["kind"]) == (False, BAD, "CONTENT")
    shown = verify(lines)
    assert shown.exit_code == 8
    assert f"row {BAD}: CONTENT" in shown.output


def test_a_row_that_was_taken_out_is_named_with_exit_code_8(verify, lines):
    del lines[bad_row(lines)]
    result = verify(lines, "--json")
    told = json.loads(result.stdout)["data"]
    assert (result.exit_code, told["first_bad_seq"], told["kind"]) == (8, BAD, "GAP")


def test_a_file_that_was_cut_off_is_no_export(verify, lines):
    result = verify(lines[:-1], "--json")
    assert result.exit_code not in (0, 8)
    assert json.loads(result.stdout)["error"]["reason"] == "EXPORT_INVALID"
