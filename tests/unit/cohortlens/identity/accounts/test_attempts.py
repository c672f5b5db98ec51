"""The count of attempts that a process keeps when Redis is away, and what counts as one caller."""

from __future__ import annotations

import pytest

from cohortlens.identity.accounts.attempts import LoginLimits, _LocalAttempts
from cohortlens.identity.networks import network_of


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def reserve(attempts, pair, network):
    return attempts.reserve(pair, network, "email")[0]


def test_five_at_once_then_the_wait_doubles_up_to_a_quarter_of_an_hour(clock):
    attempts = _LocalAttempts(LoginLimits(), clock)
    assert [reserve(attempts, "pair", "net") for _ in range(5)] == [0.0] * 5
    waits = []
    for _ in range(9):
        waits.append(reserve(attempts, "pair", "net"))
        clock.now += waits[-1]
        assert reserve(attempts, "pair", "net") == 0.0
    assert waits == [12, 24, 48, 96, 192, 384, 768, 900, 900]


def test_a_refused_attempt_does_not_lengthen_the_wait(clock):
    attempts = _LocalAttempts(LoginLimits(), clock)
    for _ in range(5):
        reserve(attempts, "pair", "net")
    assert {reserve(attempts, "pair", "net") for _ in range(10)} == {12.0}


def test_an_address_has_its_own_window_over_all_names(clock):
    attempts = _LocalAttempts(LoginLimits(per_address=3), clock)
    assert [reserve(attempts, f"pair{index}", "net") for index in range(3)] == [0.0] * 3
    clock.now += 20
    assert reserve(attempts, "pair9", "net") == 40.0
    assert reserve(attempts, "pair9", "elsewhere") == 0.0
    clock.now += 40
    assert reserve(attempts, "pair9", "net") == 0.0


def test_a_right_password_gives_its_attempt_back(clock):
    attempts = _LocalAttempts(LoginLimits(), clock)
    for _ in range(20):
        assert reserve(attempts, "pair", "net") == 0.0
        attempts.give_back("pair", "email")
    attempts.give_back("never counted", "nor this")


def test_attempts_on_an_e_mail_address_are_counted_over_all_networks_for_an_hour(clock):
    attempts = _LocalAttempts(LoginLimits(), clock)
    assert [attempts.reserve(f"pair{n}", f"net{n}", "email") for n in range(3)] == [(0, 1), (0, 2), (0, 3)]
    attempts.give_back("pair0", "email")
    assert attempts.reserve("pair4", "net4", "email") == (0, 3)
    assert attempts.reserve("pair4", "net4", "another") == (0, 1)
    clock.now += 3600
    assert attempts.reserve("pair5", "net5", "email") == (0, 1)


@pytest.mark.parametrize(
    ("left", "right", "is_one"),
    [
        ("192.0.2.7:5000", "192.0.2.7:6000", True),
        ("ipv4:192.0.2.7:5000", "192.0.2.7", True),
        ("[::ffff:192.0.2.7]:80", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8::1", "[2001:db8::ffff]:443", True),
        ("ipv6:[2001:db8::1]:443", "2001:db8::9", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("unix:/run/a", "unix:/run/b", False),
    ],
)
def test_a_caller_is_an_ipv4_address_or_an_ipv6_network_of_64_bits(left, right, is_one):
    assert (network_of(left) == network_of(right)) == is_one


def test_any_text_can_stand_for_an_address():
    for text in ("", ":", "[", "\ud800", "x" * 10_000):
        assert len(network_of(text)) <= 64
