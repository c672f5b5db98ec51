"""A real Valkey of ours: private, on loopback, replaced when it was left over."""

import os
import socket
from pathlib import Path

import pytest
import redis

from cohortlens.embedded.faults import StackFailed
from cohortlens.embedded.redis import EmbeddedRedis


@pytest.fixture
def server(tmp_path):
    server = EmbeddedRedis(tmp_path / "data", 0)
    yield server
    server.stop()


def test_it_answers_with_the_password_only_and_on_loopback_only(server):
    with redis.Redis.from_url(server.start()) as client:
        assert client.set("cl:a", "1", px=1000)
        assert client.config_get("bind")["bind"] == "127.0.0.1"
        assert int(client.config_get("maxmemory")["maxmemory"]) < 2**27
    with redis.Redis(port=server.port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.get("cl:a")


def test_the_password_is_not_in_the_list_of_processes(server):
    url = server.start()
    command = Path(f"/proc/{server.server.identity.pid}/cmdline").read_text()
    assert "valkey-server" in command
    assert url.split(":")[2].split("@")[0] not in command


def test_a_server_that_outlived_its_starter_is_replaced_on_the_same_port(server, tmp_path):
    server.start()
    old = server.server.identity
    again = EmbeddedRedis(tmp_path / "data", server.port)
    try:
        again.start()
        assert not old.is_alive()
        assert again.port == server.port
    finally:
        again.stop()


def test_a_taken_port_is_named_with_its_holder(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StackFailed) as caught:
        EmbeddedRedis(tmp_path / "data", taken.getsockname()[1]).start()
    assert caught.value.reason == "PORT_IN_USE"
    assert f"pid {os.getpid()} " in str(caught.value)
    assert not (tmp_path / "data" / "redis.process.json").exists()
