"""Addresses that would listen everywhere are turned to loopback; others stay."""

from __future__ import annotations

import pytest

from workers.deployments.loopback import confined


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("[::]:0", "127.0.0.1:0"),
        ("0.0.0.0:50051", "127.0.0.1:50051"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("unix:/tmp/x.sock", "unix:/tmp/x.sock"),
    ],
)
def test_only_wildcard_hosts_are_replaced(asked, given):
    assert confined(asked) == given
