"""Whom the verifier may ask: allowed hosts at public addresses, and never this network."""

from __future__ import annotations

import ipaddress

import pytest

from sidecars.web3.credentials.did import read_web_did
from sidecars.web3.credentials.fetching import Fetcher, NotAllowedError, is_public
from sidecars.web3.credentials.refusals import RefusedError

PRIVATE = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
async def test_an_allowed_name_with_an_address_of_this_network_is_not_asked(address):
    async def lookup(_host, _port):
        return ["93.184.216.34", address]

    with pytest.raises(NotAllowedError):
        await Fetcher(frozenset({"a.example"}), lookup=lookup).get("a.example", None, "/", 100)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_addresses_of_the_open_network_are_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("host", "port", "local"),
    [
        ("b.example", None, True),
        ("a.example", 8443, True),
        ("localhost", 80, False),
        ("localhost", None, True),
    ],
)
async def test_a_host_that_nobody_listed_is_not_even_looked_up(host, port, local):
    async def lookup(_host, _port):
        raise AssertionError("looked up")

    allowed = frozenset({"a.example", "localhost:80", "localhost"})
    with pytest.raises(NotAllowedError):
        await Fetcher(allowed, local, lookup).get(host, port, "/", 100)


@pytest.mark.parametrize(
    "did",
    [
        "did:web:A.example", "did:web:127.0.0.1", "did:web:0x7f.1", "did:web:[::1]", "did:web:u@a.example",
        "did:web:a.example:..:x", "did:web:a.example:.", "did:web:a.example:%2e%2e", "did:web:a.example/x",
        "did:web:a.example%3A0", "did:web:a.example%3A65536", "did:web:a.example:", "did:web:", "did:web:a..b",
        "did:web:" + "a" * 300,
    ],
)  # fmt: skip
def test_a_did_web_that_could_mean_another_place_is_malformed(did):
    with pytest.raises(RefusedError) as refused:
        read_web_did(did)
    assert refused.value.reason == "DID_MALFORMED"


def test_a_did_web_names_its_document():
    assert read_web_did("did:web:a.example").document_path() == "/.well-known/did.json"
    found = read_web_did("did:web:a.example%3A8443:x:y")
    assert (found.authority, found.document_path()) == ("a.example:8443", "/x/y/did.json")
