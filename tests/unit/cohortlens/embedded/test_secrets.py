"""Secrets are random, private, and never made twice for one folder."""

import base64
import json
import os
import stat
import threading

import pytest

from cohortlens.embedded import secrets
from cohortlens.embedded.faults import StackFailed


def test_each_folder_gets_its_own_secrets_and_keeps_them(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    first, other = (secrets.load_or_create(folder) for folder in folders)
    values = [
        getattr(one, name).reveal()
        for one in (first, other)
        for name in vars(first)
        if name != "kek_previous"
    ]
    assert len(set(values)) == 22
    assert secrets.load_or_create(folders[0]) == first
    assert len(base64.b64decode(first.kek.reveal())) == 32


def test_the_file_is_readable_by_its_owner_only(tmp_path):
    secrets.load_or_create(tmp_path)
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.json"]


def test_secrets_do_not_print(tmp_path):
    made = secrets.load_or_create(tmp_path)
    assert made.redis.reveal() not in repr(made)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"redis": "x"}', '{"kek"'])
def test_a_damaged_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "secrets.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(StackFailed) as caught:
        secrets.load_or_create(tmp_path)
    assert caught.value.reason == "SECRETS_UNREADABLE"
    assert path.read_text() == content


def test_a_folder_of_an_earlier_release_gets_what_it_lacks_and_keeps_the_rest(tmp_path):
    secrets.load_or_create(tmp_path)
    path = tmp_path / "secrets.json"
    older = json.loads(path.read_text())
    del older["postgres_jobs"], older["stripe_key"], older["stripe_webhook"]
    del older["postgres_web3"], older["web3_kek"], older["web3_token"]
    path.write_text(json.dumps(older))
    made = secrets.load_or_create(tmp_path)
    added = made.postgres_jobs.reveal()
    assert added
    assert made.stripe_key.reveal().startswith("sk_test_")
    assert made.stripe_webhook.reveal().startswith("whsec_")
    kept = json.loads(path.read_text())
    assert {name: kept[name] for name in older} == older
    assert kept["postgres_jobs"] == added
    assert secrets.load_or_create(tmp_path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_open_to_others_is_refused(tmp_path):
    secrets.load_or_create(tmp_path)
    (tmp_path / "secrets.json").chmod(0o640)
    with pytest.raises(StackFailed, match="chmod 600"):
        secrets.load_or_create(tmp_path)


def test_two_starts_at_once_agree(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", threading.get_ident)  # as in two processes
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(secrets.load_or_create(tmp_path))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = json.loads((tmp_path / "secrets.json").read_text())
    assert {one.kek.reveal() for one in found} == {stored["kek"]}
