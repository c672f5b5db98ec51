"""Settings of the workers, and paths that fit the kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cohortlens.core.config import SettingsInvalid, read
from workers.config import SOCKET_PATH_LIMIT, WorkerConfig, ray_environment


def config(**environ: str) -> WorkerConfig:
    return read(WorkerConfig, {f"COHORTLENS_{name}": value for name, value in environ.items()})


def test_the_artifact_store_lies_in_the_data_folder_unless_set_apart(tmp_path):
    assert config(DATA_DIR=str(tmp_path)).artifacts == tmp_path / "artifacts"
    assert config(DATA_DIR=str(tmp_path), ARTIFACT_DIR="/models").artifacts == Path("/models")


@pytest.mark.parametrize("depth", [1, 4, 20])
def test_socket_paths_fit_the_kernel_however_deep_the_data_folder_lies(depth):
    made = config(DATA_DIR="/" + "/".join(["a-rather-long-name"] * depth))

    for folder, name in (
        (made.ray_dir, "session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"),
        (made.socket_dir, "s-4194304.sock"),
    ):
        assert len(os.fsencode(str(folder / name))) <= SOCKET_PATH_LIMIT


def test_two_deep_data_folders_never_share_a_folder_for_sockets():
    one, other = (config(DATA_DIR="/deep" * 30 + name) for name in ("/one", "/other"))

    assert one.ray_dir != other.ray_dir
    assert one.socket_dir != other.socket_dir


def test_a_shallow_data_folder_keeps_everything_inside():
    made = config(DATA_DIR="/srv/cl")

    assert made.ray_dir == Path("/srv/cl/ray")
    assert made.socket_dir == Path("/srv/cl/replicas")


def test_every_unusable_setting_is_named_in_one_go():
    faults = config(REPLICAS="0", WORKER_MODEL_MEMORY="5", TRAINING_SLOTS="-1").faults()

    assert [fault.partition("=")[0] for fault in faults] == [
        "COHORTLENS_REDIS_URL", "COHORTLENS_REPLICAS", "COHORTLENS_WORKER_MODEL_MEMORY", "COHORTLENS_TRAINING_SLOTS",
    ]  # fmt: skip
    assert config(REDIS_URL="redis://127.0.0.1:6379/0").faults() == []


def test_replicas_scale_only_when_the_most_is_above_the_least():
    assert not config(REPLICAS="3").scales
    assert not config(REPLICAS="3", REPLICAS_MAX="3").scales
    assert config(REPLICAS="1", REPLICAS_MAX="2").scales


def test_a_scale_that_cannot_work_is_refused_with_what_is_expected():
    faults = config(
        REDIS_URL="redis://127.0.0.1:6379/0", REPLICAS="3", REPLICAS_MAX="2", SCALE_TARGET_BUSY="0"
    ).faults()

    assert faults == [
        "COHORTLENS_REPLICAS_MAX=2: expected at least 3",
        "COHORTLENS_SCALE_TARGET_BUSY=0: expected more than 0",
    ]


TOKEN = "0123456789abcdef" * 2
HOSTS = {"REDIS_URL": "redis://10.0.0.1:6379/0", "RAY_TOKEN": TOKEN, "ARTIFACT_DIR": "/srv/artifacts"}


def test_hosts_join_over_a_private_address_with_a_token_and_shared_artifacts():
    assert config(**HOSTS, RAY_PORT="6380").cluster_faults("10.0.0.2") == []
    assert config(**HOSTS, RAY_HEAD="10.0.0.2:6380").cluster_faults("10.0.0.3") == []
    assert not config().spans_hosts


@pytest.mark.parametrize(
    ("bind", "changed", "told"),
    [
        ("10.0.0.2", {"RAY_TOKEN": "short"}, "COHORTLENS_RAY_TOKEN=****: expected 32 or more"),
        (
            "10.0.0.2",
            {"ARTIFACT_DIR": ""},
            "COHORTLENS_ARTIFACT_DIR='': expected a folder that every host sees",
        ),
        ("8.8.8.8", {}, "COHORTLENS_WORKER_BIND=8.8.8.8: expected an address of a private network"),
        ("127.0.0.1", {}, "COHORTLENS_WORKER_BIND=127.0.0.1: expected the address under which"),
        ("10.0.0.2", {"RAY_HEAD": "10.0.0.9:6380"}, "COHORTLENS_RAY_PORT=6380: expected 0 beside"),
        ("10.0.0.2", {"RAY_PORT": "0", "RAY_HEAD": "host"}, "COHORTLENS_RAY_HEAD=host: expected host:port"),
    ],
)
def test_several_hosts_without_what_keeps_others_out_are_refused(bind, changed, told):
    [fault] = config(**{**HOSTS, "RAY_PORT": "6380", **changed}).cluster_faults(bind)

    assert fault.startswith(told)


def test_a_host_of_several_on_loopback_is_refused_with_all_other_faults():
    assert any("COHORTLENS_WORKER_BIND" in fault for fault in config(**HOSTS, RAY_PORT="6380").faults())


def test_one_host_confines_ray_to_loopback_and_several_open_the_port_they_were_given():
    alone, several = ray_environment(TOKEN), ray_environment(TOKEN, spans_hosts=True, port=6380)

    assert alone["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in several
    assert several["RAY_GCS_SERVER_PORT"] == "6380"
    assert {one["RAY_AUTH_MODE"] for one in (alone, several)} == {"token"}


def test_a_setting_of_another_type_is_refused():
    with pytest.raises(SettingsInvalid, match="COHORTLENS_REPLICAS='two'"):
        config(REPLICAS="two")
