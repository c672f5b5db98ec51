"""The state file is whole or absent; the lock dies with its holder."""

import stat
import subprocess
import sys

import pytest

from cohortlens.embedded.processes import own_identity
from cohortlens.embedded.state import ServiceRecord, StackState, folder_lock, read_state, remove_state

HOLD = (
    "import sys, pathlib\nfrom cohortlens.embedded.state import folder_lock\n"
    "with folder_lock(pathlib.Path(sys.argv[1]), 0.0) as ours:\n    print(ours, flush=True)\n    sys.stdin.read()"
)


def _state():
    state = StackState(own_identity(), "2026-01-01T00:00:00+00:00", "test", guardian=own_identity())
    state.services.append(ServiceRecord("redis", "embedded", "ready", 16379, own_identity(), 1.5, "x", 2))
    state.services.append(ServiceRecord("postgres", "external"))
    state.ports["redis"] = 16379
    return state


def test_a_written_state_is_read_back_the_same(tmp_path):
    _state().write(tmp_path)
    assert read_state(tmp_path) == _state()
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600
    remove_state(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', '{"version": 99}', "null", "\x00"])
def test_a_damaged_or_foreign_state_counts_as_none(tmp_path, content):
    (tmp_path / "state.json").write_text(content)
    assert read_state(tmp_path) is None


def test_the_lock_keeps_a_second_holder_out_and_dies_with_a_killed_one(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"True\n"
        with folder_lock(tmp_path, 0.0) as is_ours:
            assert not is_ours
    finally:
        holder.kill()
        holder.communicate()
    with folder_lock(tmp_path, 0.0) as is_ours:
        assert is_ours
    assert list(tmp_path.iterdir()) == [], "the lock is no file, so none can be stale"
