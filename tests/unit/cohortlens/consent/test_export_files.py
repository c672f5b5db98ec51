"""The archive of an export: what stands in it, and what a spreadsheet makes of it."""

import csv
import hashlib
import io
import json
import zipfile
from uuid import UUID

import pytest

from cohortlens.consent.data_requests.files import ExportFolder, csv_of, text_of

TENANT, REQUEST = UUID(int=1), UUID(int=2)


@pytest.fixture
def folder(tmp_path):
    return ExportFolder(tmp_path, TENANT, REQUEST)


def test_rows_with_different_columns_share_a_table_and_keep_their_values():
    rows = [{"a": 1, "b": None}, {"a": 2, "c": {"x": [1]}}]
    read = list(csv.DictReader(io.StringIO(csv_of(rows).decode())))
    assert read == [{"a": "1", "b": "", "c": ""}, {"a": "2", "b": "", "c": '{"x": [1]}'}]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_cell_that_a_spreadsheet_would_run_is_quoted(text):
    (row,) = csv.DictReader(io.StringIO(csv_of([{"a": text}]).decode(), newline=""))
    assert row["a"] == f"'{text}"


def test_numbers_below_zero_stay_numbers():
    (row,) = csv.DictReader(io.StringIO(csv_of([{"a": -1}]).decode()))
    assert row["a"] == "-1"


def test_no_rows_make_an_empty_table():
    assert csv_of([]) == b"\r\n"


def test_the_manifest_lists_every_file_with_its_digest(folder):
    folder.write_part("customers", {"customers": [{"id": "é"}], "days": []})
    digest, size = folder.pack({"type": "ACCESS"}, ["customers"])
    content = folder.result.read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (digest, size)
    archive = zipfile.ZipFile(io.BytesIO(content))
    manifest = json.loads(archive.read("manifest.json"))
    listed = {file["path"]: file["sha256"] for file in manifest["files"]}
    assert set(listed) | {"manifest.json"} == set(archive.namelist())
    for path, sha256 in listed.items():
        assert hashlib.sha256(archive.read(path)).hexdigest() == sha256


def test_parts_are_gone_when_the_archive_is_there(folder):
    folder.write_part("customers", {"customers": []})
    folder.pack({}, ["customers"])
    assert [path.name for path in folder.path.iterdir()] == ["export.zip"]


def test_only_this_user_may_read_the_folder_of_an_export(folder):
    folder.write_part("customers", {})
    assert folder.path.stat().st_mode & 0o077 == 0
    assert folder.part("customers").stat().st_mode & 0o077 == 0


def test_text_of_other_alphabets_is_not_escaped():
    assert "ß" in text_of({"a": "ß"}).decode()
