"""Whose address a call comes from: spoofed headers change nothing."""

import pytest

from gateway.limits.addresses import TrustedProxies

PROXIES = "10.0.0.0/8, 192.0.2.7 2001:db8:ffff::/48"


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("198.51.100.9", ["203.0.113.1"], "198.51.100.9"),
        ("198.51.100.9", [], "198.51.100.9"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.1"], "203.0.113.1"),
        ("10.1.2.3", ["1.1.1.1, 203.0.113.1"], "203.0.113.1"),
        ("10.1.2.3", ["1.1.1.1", "203.0.113.1"], "203.0.113.1"),
        ("10.1.2.3", ["203.0.113.1, 10.9.9.9, 192.0.2.7"], "203.0.113.1"),
        ("10.1.2.3", ["203.0.113.1, 192.0.2.8, 10.9.9.9"], "192.0.2.8"),
        ("10.1.2.3", ["10.4.4.4, 10.9.9.9"], "10.4.4.4"),
        ("10.1.2.3", ["203.0.113.1, unknown, 10.9.9.9"], "10.9.9.9"),
        ("10.1.2.3", ["unknown"], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.1:4711"], "203.0.113.1"),
        ("10.1.2.3", ["[2001:db8::5]:443"], "2001:db8::5"),
        ("10.1.2.3", ['"[2001:db8::5]"'], "2001:db8::5"),
        ("::ffff:10.1.2.3", ["203.0.113.1"], "203.0.113.1"),
        ("2001:db8:ffff::1", ["::ffff:203.0.113.1"], "203.0.113.1"),
        ("", ["203.0.113.1"], ""),
    ],
)
def test_the_caller_is_the_right_most_address_that_is_no_trusted_proxy(peer, forwarded, caller):
    assert TrustedProxies(PROXIES).caller(peer, forwarded) == caller


def test_without_trusted_proxies_nobody_is_believed():
    assert TrustedProxies("").caller("127.0.0.1", ["203.0.113.1"]) == "127.0.0.1"


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.example", "10.0.0.0/33", "2001:db8::1/32"])
def test_what_is_no_network_is_named(text):
    with pytest.raises(ValueError, match=text.replace(".", r"\.")):
        TrustedProxies(f"10.0.0.0/8,{text}")
