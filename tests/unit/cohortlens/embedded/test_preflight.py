"""Every fault of the machine and the settings is found before anything starts, all in one go."""

import os
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from cohortlens.embedded import preflight
from cohortlens.embedded.processes import own_identity
from cohortlens.embedded.state import StackState

FREE = {
    f"COHORTLENS_{name}_PORT": "0"
    for name in ("HTTP", "GRPC", "POSTGRES", "REDIS", "SMTP", "STRIPE", "WEB3", "OPS")
}


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "available_memory", lambda: 8 * 2**30)

    def run(**values):
        given = {f"COHORTLENS_{name}": str(value) for name, value in values.items()}
        base = {"COHORTLENS_DATA_DIR": str(tmp_path / "data"), "COHORTLENS_WORKERS_PYTHON": sys.executable}
        config, faults = preflight.check_settings({**base, **FREE, **given})
        return faults + (preflight.check_machine(config) if config else [])

    return run


def _reasons(faults):
    return [(fault.reason, fault.severity) for fault in faults]


def test_a_good_machine_has_no_fault_and_nothing_was_written(check, tmp_path):
    assert check() == []
    assert list(tmp_path.iterdir()) == []


def test_all_wrong_settings_are_named_at_once_with_the_nearest_known_name(check):
    faults = check(GRPC_PORT="many", HTTP_PROT="1", ENV="prod", KEK="k3y-of-mine", KEK_FILE="/x")
    assert _reasons(faults) == [("SETTING_UNKNOWN", "stop")] + [("SETTING_INVALID", "stop")] * 3
    text = "\n".join(fault.text() for fault in faults)
    assert "COHORTLENS_HTTP_PORT" in faults[0].found
    assert "COHORTLENS_GRPC_PORT='many': expected a whole number" in text
    assert "production" in text
    assert "k3y-of-mine" not in text


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_outside_the_range_is_a_fault(check, port):
    (fault,) = check(GRPC_PORT=port)
    assert fault.reason == "SETTING_INVALID"
    assert port in fault.found


def test_more_processes_than_the_embedded_database_has_connections_for_are_a_fault_with_what_would_fit(check):
    (fault,) = check(GATEWAY_PROCESSES="10")
    assert fault.reason == "CONNECTIONS_EXCEEDED"
    assert "need 94, 55 are there" in fault.found
    assert fault.next.startswith("COHORTLENS_DATABASE_POOL_SIZE=4,")
    assert check(GATEWAY_PROCESSES="10", DATABASE_POOL_SIZE="4") == []
    assert check(GATEWAY_PROCESSES="5") == []


def test_production_refuses_stand_ins_and_names_what_to_give(check):
    fault, *mail = check(ENV="production", REDIS_URL="redis://h:1/0")
    assert fault.reason == "EMBEDDED_IN_PRODUCTION"
    assert "COHORTLENS_DATABASE_URL" in fault.found
    assert "COHORTLENS_REDIS_URL" not in fault.found
    assert {one.reason for one in mail} == {"MAIL_SETTINGS_INVALID"}
    named = [one.found.partition(" ")[0].rstrip(":") for one in mail]
    assert named == ["COHORTLENS_SMTP_URL", "COHORTLENS_MAIL_FROM", "COHORTLENS_PUBLIC_URL"]


def test_production_with_a_mail_server_a_sender_and_a_public_address_has_no_fault_of_mails(check):
    faults = check(
        ENV="production",
        SMTP_URL="smtps://user:pass@mail.example.org",
        MAIL_FROM="Shop <no-reply@example.org>",
        PUBLIC_URL="https://app.example.org",
    )
    assert [fault.reason for fault in faults] == ["EMBEDDED_IN_PRODUCTION"]


@pytest.mark.parametrize(
    "url",
    ["http://h", "smtp://", "smtp://h:99999", "smtp://u:secret@h?tls=off", "smtps://h?tls=off", "smtp://u@h"],
)
def test_a_mail_server_that_cannot_be_used_is_a_fault_without_its_password(check, url):
    (fault,) = check(SMTP_URL=url)
    assert fault.reason == "MAIL_SETTINGS_INVALID"
    assert "COHORTLENS_SMTP_URL" in fault.found
    assert "secret" not in fault.text()


def test_a_file_in_the_place_of_the_data_folder_is_a_fault(check, tmp_path):
    (tmp_path / "data").write_text("")
    (fault,) = check()
    assert fault.reason == "DATA_DIR_NOT_WRITABLE"
    assert str(tmp_path / "data") in fault.found


def test_data_of_another_postgresql_is_a_fault(check, tmp_path):
    (tmp_path / "data" / "postgres-16").mkdir(parents=True)
    (fault,) = check()
    assert fault.reason == "DATA_DIR_VERSION"
    assert "postgres-16" in fault.found


def test_little_disk_is_a_fault(check, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10, 10, 2**30))
    assert _reasons(check()) == [("DISK_LOW", "stop")]


@pytest.mark.parametrize(("gib", "severity"), [(2, "warn"), (1, "stop")])
def test_little_memory_warns_and_very_little_stops(check, monkeypatch, gib, severity):
    monkeypatch.setattr(preflight, "available_memory", lambda: gib * 2**30)
    assert _reasons(check()) == [("MEMORY_LOW", severity)]


def test_a_missing_workers_environment_is_a_fault(check, tmp_path):
    (fault,) = check(WORKERS_PYTHON=tmp_path / "none")
    assert fault.reason == "WORKERS_ENVIRONMENT_MISSING"
    assert fault.next.startswith("make setup")


@pytest.mark.parametrize(
    ("start_ticks", "reason"), [(None, "STACK_ALREADY_RUNNING"), (1, "STALE_STATE")], ids=["alive", "reused"]
)
def test_a_recorded_supervisor_counts_only_with_its_start_time(check, tmp_path, start_ticks, reason):
    mine = own_identity()
    recorded = type(mine)(mine.pid, start_ticks or mine.start_ticks, mine.boot_id)
    (tmp_path / "data").mkdir()
    StackState(recorded, "2026-01-01T00:00:00Z", "test").write(tmp_path / "data")
    (fault,) = check()
    assert _reasons([fault]) == [(reason, "note")]
    assert str(os.getpid()) in fault.found


def test_the_kernel_says_how_much_memory_there_is():
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < preflight.available_memory() <= total
