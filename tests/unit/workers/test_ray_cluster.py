"""The folder that a local Ray works in: private, locked, swept."""

from __future__ import annotations

import os
import stat

import pytest

from workers.ray_cluster import ClusterFault, locked, private_folder, remove_sessions


def test_a_second_supervisor_learns_who_holds_the_folder(tmp_path):
    with locked(tmp_path / "lock", 0.0), pytest.raises(ClusterFault, match=str(os.getpid())) as caught:
        locked(tmp_path / "lock", 0.0)

    assert caught.value.reason == "WORKERS_RUNNING"


def test_a_lock_whose_holder_is_gone_is_free(tmp_path):
    locked(tmp_path / "lock", 0.0).close()

    with locked(tmp_path / "lock", 0.0) as file:
        file.seek(0)
        assert file.read() == str(os.getpid())


def test_folders_are_made_for_this_user_only_and_opened_ones_are_closed(tmp_path):
    (tmp_path / "open").mkdir(mode=0o777)

    for path in (tmp_path / "data" / "ray", tmp_path / "open"):
        private_folder(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_link_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ray").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ClusterFault) as caught:
        private_folder(tmp_path / "ray")

    assert caught.value.reason == "FOLDER_UNSAFE"


def test_a_data_folder_that_is_itself_reached_through_a_link_is_fine(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk")

    private_folder(tmp_path / "data" / "ray")

    assert stat.S_IMODE((tmp_path / "disk" / "ray").stat().st_mode) == 0o700


def test_old_sessions_are_removed_and_the_newest_is_kept_for_reading(tmp_path):
    for day in ("01", "02", "03"):
        (tmp_path / f"session_2026-01-{day}_00-00-00_0_1" / "logs").mkdir(parents=True)
    (tmp_path / "session_latest").symlink_to(tmp_path / "session_2026-01-03_00-00-00_0_1")
    (tmp_path / "notes").mkdir()

    remove_sessions(tmp_path, keep=1)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "notes", "session_2026-01-03_00-00-00_0_1", "session_latest",
    ]  # fmt: skip
