"""The session of a client: log-in, exchange ahead of time and once, stores that are shared."""

import asyncio
import json
import stat
import threading

import pytest

from cohortlens.client import (
    ApiKey,
    CohortLens,
    FileTokenStore,
    MemoryTokenStore,
    Password,
    Tls,
    Tokens,
    v1,
)
from cohortlens.client._generated.services import AuthService
from cohortlens.client.errors import Unauthenticated, Unavailable
from cohortlens.client.session import FixedSigner, Session, SourceSigner, signer_of
from cohortlens.client.wire import is_loopback
from tests.fakes.client_wire import FakeWire, caller, fault

LOGIN = Password("a@b.example", "three blind mice", totp="123456")


def pair(number):
    tokens = v1.TokenPair(access_token=f"a{number}", refresh_token=f"r{number}", expires_in=600)
    return v1.CreateSessionResponse(tokens=tokens)


def refreshed(number):
    return v1.RefreshSessionResponse(tokens=pair(number).tokens)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def session(wire, store=None, login=LOGIN):
    clock = Clock()
    calls, _ = caller(wire)
    return Session(AuthService(calls), login, store or MemoryTokenStore(), clock), clock


def asked(wire):
    return [path.rpartition("/")[2] for path, *_ in wire.sent]


async def test_the_first_call_logs_in_and_the_others_use_its_token():
    wire = FakeWire(pair(1))
    signer, _ = session(wire)
    assert [await signer.token(), await signer.token()] == ["a1", "a1"]
    sent = v1.CreateSessionRequest.parse(wire.sent[0][1])
    assert (sent.email, sent.password, sent.totp) == ("a@b.example", "three blind mice", "123456")


async def test_a_token_is_exchanged_a_minute_before_it_expires():
    wire = FakeWire(pair(1), refreshed(2))
    signer, clock = session(wire)
    await signer.token()
    clock.now += 540
    assert await signer.token() == "a1"
    clock.now += 1
    assert await signer.token() == "a2"
    assert v1.RefreshSessionRequest.parse(wire.sent[1][1]).refresh_token == "r1"


async def test_all_who_wait_share_one_exchange_and_one_who_leaves_does_not_end_it():
    started, gate = asyncio.Event(), asyncio.Event()

    async def slow():
        started.set()
        await gate.wait()
        return pair(1)

    wire = FakeWire(slow)
    signer, _ = session(wire)
    waiting = [asyncio.create_task(signer.token()) for _ in range(20)]
    await started.wait()
    waiting[0].cancel()
    gate.set()
    assert await asyncio.gather(*waiting[1:]) == ["a1"] * 19
    assert asked(wire) == ["CreateSession"]


async def test_a_session_that_ended_is_logged_in_again_and_a_service_that_is_away_is_not():
    store = MemoryTokenStore()
    store.save(Tokens("a0", "r0", 0))
    wire = FakeWire(fault("UNAUTHENTICATED", "TOKEN_REVOKED"), pair(1))
    signer, _ = session(wire, store)
    assert await signer.token() == "a1"
    assert asked(wire) == ["RefreshSession", "CreateSession"]
    store.save(Tokens("a0", "r0", 0))
    with pytest.raises(Unavailable):
        await session(FakeWire(fault("UNAVAILABLE")), store)[0].token()


async def test_stored_tokens_need_no_password_until_they_end():
    store = MemoryTokenStore()
    with pytest.raises(Unauthenticated, match="CREDENTIALS_MISSING"):
        await session(FakeWire(), store, login=None)[0].token()
    store.save(Tokens("a0", "r0", 0))
    assert await session(FakeWire(refreshed(1)), store, login=None)[0].token() == "a1"
    store.save(Tokens("a0", "r0", 0))
    with pytest.raises(Unauthenticated):
        await session(FakeWire(fault("UNAUTHENTICATED", "TOKEN_REVOKED")), store, login=None)[0].token()


async def test_a_refused_token_is_not_used_again():
    wire = FakeWire(pair(1), refreshed(2))
    signer, _ = session(wire)
    assert signer.refused(await signer.token())
    assert await signer.token() == "a2"


async def test_a_failed_exchange_is_tried_again_by_the_next_call():
    wire = FakeWire(fault("UNAVAILABLE"), pair(1))
    signer, _ = session(wire)
    with pytest.raises(Unavailable):
        await signer.token()
    assert await signer.token() == "a1"


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_clients_of_one_store_in_several_threads_exchange_a_refresh_token_once(kind, tmp_path):
    path = tmp_path / "tokens.json"
    memory = MemoryTokenStore()
    stores = [memory if kind == "memory" else FileTokenStore(path) for _ in range(4)]
    stores[0].save(Tokens("a0", "r0", 0))
    barrier, found, wires = threading.Barrier(4), [], []

    def work(store):
        async def one():
            wire = FakeWire(refreshed(1))
            wires.append(wire)
            signer, _ = session(wire, store)
            barrier.wait()
            found.append(await signer.token())

        asyncio.run(one())

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert found == ["a1"] * 4
    assert sum(len(wire.sent) for wire in wires) == 1


async def test_who_gives_up_waiting_for_a_store_does_not_keep_it():
    store = MemoryTokenStore()
    signer, _ = session(FakeWire(pair(1)), store)
    with store.exclusive():
        waiting = asyncio.create_task(signer._renew())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await session(FakeWire(pair(2)), store)[0].token() == "a2"


def test_a_stored_session_is_readable_by_its_owner_alone_and_a_broken_file_is_no_session(tmp_path):
    path = tmp_path / "tokens.json"
    store, tokens = FileTokenStore(path), Tokens("a", "r", 7.0)
    assert store.load() is None
    store.save(tokens)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert FileTokenStore(path).load() == tokens
    assert [one.name for one in tmp_path.iterdir()] == ["tokens.json"]
    for text in ("", "[]", json.dumps({"access_token": "a"})):
        path.write_text(text)
        assert store.load() is None


async def test_keys_and_sources_sign_without_a_session():
    calls, _ = caller(FakeWire())
    auth = AuthService(calls)
    key = signer_of(ApiKey("k"), None, auth)
    assert isinstance(key, FixedSigner)
    assert await key.token() == "k"
    assert not key.refused("k")

    async def give():
        return "s"

    source = signer_of(give, None, auth)
    assert isinstance(source, SourceSigner)
    assert (await source.token(), source.refused("s")) == ("s", True)


def test_no_secret_shows():
    shown = " ".join(
        repr(one)
        for one in (
            ApiKey("hidden"),
            Password("a@b", "hidden", "hidden"),
            Tokens("hidden", "hidden", 1.0),
            CohortLens("127.0.0.1:1", ApiKey("hidden")),
            v1.CreateSessionRequest(password="hidden", device_name="mine"),
            v1.TokenPair(access_token="hidden", refresh_token="hidden", session="s"),
            v1.CreateSessionResponse(tokens=v1.TokenPair(access_token="hidden")),
            v1.CreateApiKeyResponse(secret="hidden"),
        )
    )
    assert "hidden" not in shown
    assert "device_name='mine'" in shown


@pytest.mark.parametrize(
    ("target", "here"),
    [
        ("127.0.0.1:50051", True),
        ("localhost:50051", True),
        ("[::1]:50051", True),
        ("unix:/tmp/x", True),
        ("127.0.0.1.example.com:443", False),
        ("10.0.0.1:443", False),
        ("api.example.com:443", False),
    ],
)
def test_only_this_machine_is_spoken_to_in_the_clear(target, here):
    assert is_loopback(target) is here


def test_wrong_arguments_say_what_to_do():
    with pytest.raises(ValueError, match="target is host:port"):
        CohortLens("api.example.com")
    with pytest.raises(ValueError, match="belong together"):
        Tls(certificate="c.pem")
