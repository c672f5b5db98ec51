"""Lists of networks: what is taken, what an address means that a socket shows."""

import pytest

from cohortlens.core.errors import InvalidArgument
from cohortlens.identity.networks import holds, networks


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["192.0.2.0/24"], ["192.0.2.0/24"]),
        (["192.0.2.7"], ["192.0.2.7/32"]),
        (["2001:DB8::/32"], ["2001:db8::/32"]),
        (["::ffff:192.0.2.0/120"], ["192.0.2.0/24"]),
        (["192.0.2.7", "192.0.2.7/32"], ["192.0.2.7/32"]),
        ([], []),
    ],
)
def test_networks_are_kept_once_in_normal_form(written, meant):
    assert [str(one) for one in networks(written, "ip_allowlist")] == meant


@pytest.mark.parametrize(
    "text",
    ["192.0.2.1/24", "192.0.2", "192.0.2.0/33", " 192.0.2.0/24", "fe80::1%eth0", "", "example.org", "0x7f.1"],
)
def test_what_is_no_network_is_named_by_its_place(text):
    with pytest.raises(InvalidArgument) as caught:
        networks(["192.0.2.0/24", text], "ip_allowlist")
    assert caught.value.violations[0].field == "ip_allowlist[1]"


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("192.0.2.255", True),
        ("::ffff:192.0.2.1", True),
        ("fe80::1%eth0", True),
        ("192.0.3.0", False),
        ("::ffff:192.0.3.0", False),
        ("::192.0.2.1", False),
        ("", False),
        ("unix:", False),
        ("192.0.2.1, 198.51.100.1", False),
    ],
)
def test_an_address_is_told_in_all_its_forms(address, inside):
    allowed = networks(["192.0.2.0/24", "fe80::/10"], "ip_allowlist")
    assert holds(allowed, address) is inside
