"""Unit tests stay inside the process: a connection or a listener fails the test."""

from __future__ import annotations

import socket

import pytest


@pytest.fixture(autouse=True)
def _no_sockets(monkeypatch):
    local = getattr(socket, "AF_UNIX", None)

    def refuse(name):
        real = getattr(socket.socket, name)

        def call(self, address, *rest):
            if self.family == local and name != "bind":
                return real(self, address, *rest)
            raise AssertionError(
                f"a unit test called socket.{name}({address!r}); move it to tests/integration"
            )

        return call

    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse(name))
