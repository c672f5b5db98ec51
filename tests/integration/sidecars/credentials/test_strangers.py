"""Issuers and status lists of others over https: a server of this test, with an authority of its own."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import tracemalloc
from datetime import timedelta

import pytest
from aiohttp import web

from sidecars.web3.credentials import bits, fetching, suites
from sidecars.web3.credentials import did as dids
from sidecars.web3.credentials.documents import ENTRY_TYPE, list_credential, proof_options
from sidecars.web3.credentials.fetching import Fetcher
from sidecars.web3.credentials.multikeys import public_of
from sidecars.web3.credentials.statuses import StatusReader
from tests.fixtures.certificates import Authority
from tests.fixtures.signed_credentials import CANONICALIZER, DOCUMENT, KEY, NOW, text, verifier

HOST = "issuer.example"
SUBJECT = "credentialSubject"
UNAVAILABLE, INVALID = ["STATUS_LIST_UNAVAILABLE"], ["STATUS_LIST_INVALID"]


class NoLists:
    """A journal without lists of ours."""

    async def find(self, _list_id):
        return None


class Stranger:
    """An issuer of did:web at a server on loopback."""

    def __init__(self, folder, port):
        self.port, self.asked, self.answers = port, [], {}
        self.authority = f"{HOST}:{port}"
        self.did = dids.web_did(self.authority)
        public = public_of(KEY)
        self.kid = f"{self.did}#{public.multibase}"
        self.answers["/.well-known/did.json"] = dids.did_document(self.did, [(self.kid, public)])
        self.tls = ssl.create_default_context(cafile=str(folder / "strangers.pem"))

    async def answer(self, request):
        self.asked.append(request.path)
        found = self.answers.get(request.path, web.Response(status=404))
        if callable(found):
            return await found(request)
        return found if isinstance(found, web.Response) else web.json_response(found)

    def fetcher(self, **given):
        async def lookup(_host, _port):
            return ["127.0.0.1"]

        values = {"lookup": lookup, "is_askable": lambda _address: True, "tls": self.tls}
        return Fetcher(frozenset({self.authority}), **values | given)

    def signed(self, document):
        options = proof_options(suites.RDFC, self.kid, NOW)
        proof = suites.sign(document, options, KEY, CANONICALIZER)
        return {**document, "proof": proof}

    def credential(self, index=0, **entry):
        entry = {
            "type": ENTRY_TYPE,
            "statusPurpose": "revocation",
            "statusListIndex": str(index),
            "statusListCredential": self.url(),
        } | entry
        return self.signed(DOCUMENT | {"issuer": self.did, "credentialStatus": entry})

    def url(self, path="/lists/1"):
        return f"https://{self.authority}{path}"

    def list(self, encoded, ended=0):
        since = NOW - timedelta(hours=1)
        until = NOW + timedelta(hours=1) if not ended else NOW - timedelta(minutes=30)
        return self.signed(list_credential(self.url(), self.did, "revocation", encoded, since, until))

    async def reasons(self, credential, **given):
        fetcher = self.fetcher(**given)
        asked = verifier(self.fetcher())
        found = await asked.verify(text(credential), NOW, StatusReader(NoLists(), fetcher, asked))
        return [one.reason for one in found.refusals]


@pytest.fixture
async def stranger(tmp_path):
    """The server, up."""
    issued = Authority(tmp_path, "strangers").issue(HOST)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    made = None

    async def answer(request):
        return await made.answer(request)

    server = web.Server(answer)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    made = Stranger(tmp_path, runner.addresses[0][1])
    yield made
    await runner.cleanup()


async def test_an_issuer_of_did_web_is_found_over_https_and_kept(stranger):
    asked = verifier(stranger.fetcher())
    signed = stranger.signed(DOCUMENT | {"issuer": stranger.did})
    assert (await asked.verify(text(signed), NOW, None)).refusals == ()
    altered = signed | {"validUntil": "2027-12-31T00:00:00Z"}
    found = await asked.verify(text(altered), NOW, None)
    assert [one.reason for one in found.refusals] == ["VC_SIGNATURE_INVALID"]
    assert stranger.asked == ["/.well-known/did.json"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"tls": None}, "DID_WEB_UNAVAILABLE"),
        ({"is_askable": fetching.is_public}, "DID_WEB_HOST_NOT_ALLOWED"),
    ],
)
async def test_a_server_without_a_known_authority_or_at_a_private_address_is_not_believed(
    stranger, given, reason
):
    signed = stranger.signed(DOCUMENT | {"issuer": stranger.did})
    found = await verifier(stranger.fetcher(**given)).verify(text(signed), NOW, None)
    assert [one.reason for one in found.refusals] == [reason]
    assert stranger.asked == []


@pytest.mark.parametrize("size", [1, 2, 4, 8])
async def test_a_list_of_a_stranger_is_read_entry_by_entry_of_its_size(stranger, size):
    lowest_bit_of_third = 3 * size - 1
    stranger.answers["/lists/1"] = stranger.list(
        bits.encode(bits.with_bits(bytes(bits.LIST_BITS // 8), [lowest_bit_of_third]))
    )
    for index, expected in ((1, []), (2, ["VC_REVOKED"]), (3, [])):
        assert await stranger.reasons(stranger.credential(index, statusSize=size)) == expected
    beyond = stranger.credential(bits.LIST_BITS // size, statusSize=size)
    assert await stranger.reasons(beyond) == ["STATUS_INDEX_OUT_OF_RANGE"]
    last = stranger.credential(bits.LIST_BITS // size - 1, statusSize=size)
    assert await stranger.reasons(last) == []


@pytest.mark.parametrize("size", [3, 16, 0])
async def test_an_entry_of_another_size_is_refused(stranger, size):
    stranger.answers["/lists/1"] = stranger.list(bits.encode(bytes(bits.LIST_BITS // 8)))
    assert await stranger.reasons(stranger.credential(statusSize=size)) == INVALID


async def test_lists_that_cannot_be_used_refuse_the_credential(stranger):
    good = bits.encode(bytes(bits.LIST_BITS // 8))
    small, whole = bits.encode(bytes(100)), stranger.list(good)
    altered = whole | {SUBJECT: whole[SUBJECT] | {"encodedList": bits.encode(b"\xff" * 16_384)}}
    for one in (stranger.list(small), altered, stranger.list(good, ended=1), {"a": 1}):
        stranger.answers["/lists/1"] = one
        assert await stranger.reasons(stranger.credential()) == INVALID


async def test_a_gzip_bomb_is_let_go_before_it_is_large():
    bomb = gzip.compress(bytes(256 * 1024 * 1024), 9)
    encoded = "u" + bits.base64.urlsafe_b64encode(bomb).rstrip(b"=").decode()
    tracemalloc.start()
    try:
        with pytest.raises(bits.RefusedError, match="more than"):
            bits.decode(encoded)
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


async def test_a_redirect_is_not_followed(stranger):
    stranger.answers["/lists/2"] = stranger.list(bits.encode(bytes(bits.LIST_BITS // 8)))
    stranger.answers["/lists/1"] = web.Response(status=302, headers={"location": "/lists/2"})
    assert await stranger.reasons(stranger.credential()) == UNAVAILABLE
    assert "/lists/2" not in stranger.asked


async def test_packed_long_late_and_missing_answers_are_not_used(stranger, monkeypatch):
    body = json.dumps(stranger.list(bits.encode(bytes(bits.LIST_BITS // 8)))).encode()
    packed = web.Response(body=gzip.compress(body), headers={"content-encoding": "gzip"})
    long = web.Response(body=body + b" " * (4 * 1024 * 1024))
    for one in (packed, long, web.Response(status=500), web.Response(status=404)):
        stranger.answers["/lists/1"] = one
        assert await stranger.reasons(stranger.credential()) == UNAVAILABLE

    async def late(_request):
        await asyncio.sleep(5)

    stranger.answers["/lists/1"] = late
    credential = stranger.credential()
    asked = verifier(stranger.fetcher())
    await asked.verify(text(credential), NOW, None)
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.3)
    found = await asked.verify(text(credential), NOW, StatusReader(NoLists(), stranger.fetcher(), asked))
    assert [one.reason for one in found.refusals] == UNAVAILABLE


async def test_a_list_at_a_private_address_is_not_asked(stranger):
    found = await stranger.reasons(stranger.credential(), is_askable=fetching.is_public)
    assert found == UNAVAILABLE
    assert "/lists/1" not in stranger.asked


async def test_a_list_with_thousands_of_withdrawals_is_read_as_it_was_written():
    chosen = [index * 43 % bits.LIST_BITS for index in range(3_000)]
    found = bits.decode(bits.encode(bits.with_bits(bytes(bits.LIST_BITS // 8), chosen)))
    assert {index for index in range(bits.LIST_BITS) if bits.value_at(found, index)} == set(chosen)
    assert len(set(chosen)) == 3_000
