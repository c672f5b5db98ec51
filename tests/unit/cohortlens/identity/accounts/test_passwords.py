"""Hashing away from the event loop, bounded; and which passwords are taken."""

from __future__ import annotations

import asyncio
import re
import threading

import argon2
import pytest

from cohortlens.core.errors import InvalidArgument
from cohortlens.identity.accounts.passwords import (
    DUMMY_HASH,
    MAX_WAITING,
    THREADS,
    PasswordHasher,
    check_new_password,
    common_passwords,
)
from cohortlens.identity.models import LoginRateLimited


@pytest.fixture
def hasher():
    made = PasswordHasher()
    yield made
    made.close()


async def test_a_hash_has_the_parameters_of_the_policy_and_matches_only_its_password(hasher):
    encoded = await hasher.hash("a lantern under the bridge")
    assert encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.verify(encoded, "a lantern under the bridge")
    assert not await hasher.verify(encoded, "a lantern under the bridge ")


async def test_the_dummy_costs_what_a_real_hash_costs_and_never_matches(hasher):
    parameters = argon2.extract_parameters(DUMMY_HASH)
    assert parameters == argon2.extract_parameters(await hasher.hash("x"))
    assert not await hasher.verify(None, "anything at all")


async def test_a_damaged_hash_matches_nothing(hasher):
    assert not await hasher.verify("no-password", "anything at all")


async def test_the_event_loop_stays_free_and_at_most_two_hash_at_once(hasher, monkeypatch):
    gate, running, most = threading.Event(), [], []

    def slow(_, encoded, password):
        running.append(1)
        most.append(len(running))
        gate.wait(10)
        running.pop()
        return threading.current_thread() is not threading.main_thread()

    monkeypatch.setattr(PasswordHasher, "_matches", slow)
    jobs = [asyncio.create_task(hasher.verify("x", "y")) for _ in range(THREADS + MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(LoginRateLimited) as caught:
        await hasher.verify("x", "y")
    assert caught.value.retry_delay_s == 1.0
    gate.set()
    assert all(await asyncio.gather(*jobs))
    assert max(most) <= THREADS
    assert await hasher.verify("x", "y")


async def test_a_caller_that_leaves_keeps_its_place_until_its_hash_is_done(hasher, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(PasswordHasher, "_matches", lambda *_: gate.wait(10))
    jobs = [asyncio.create_task(hasher.verify("x", "y")) for _ in range(THREADS + MAX_WAITING)]
    await asyncio.sleep(0)
    for job in jobs[:THREADS]:
        job.cancel()
    await asyncio.gather(*jobs[:THREADS], return_exceptions=True)
    with pytest.raises(LoginRateLimited):
        await hasher.verify("x", "y")
    gate.set()
    await asyncio.gather(*jobs[THREADS:])


def test_the_list_holds_what_its_source_says():
    assert len(common_passwords()) == 49_193
    assert all(len(password) >= 4 and password == password.lower() for password in common_passwords())


@pytest.mark.parametrize("password", ["123qweasdzxc", "Password 2026!!", "...Sunshine1984", "dragon000000"])
def test_a_common_password_is_refused_with_what_people_put_around_it(password):
    with pytest.raises(InvalidArgument) as caught:
        check_new_password(password, "ana@shop.example")
    assert caught.value.reason == "PASSWORD_BREACHED"


@pytest.mark.parametrize(
    "password",
    [
        "a lantern under the bridge",
        "correct-Horse7",
        "ünïcödé-wörds",
        "0123456789-0123",
        "x" * 11 + "yzab",
        "🐎🔋📎 twelve c",
    ],
)
def test_ordinary_long_passwords_are_taken(password):
    check_new_password(password, "owner@shop.example")


@pytest.mark.parametrize(
    "password", ["zyxwvutsrqponm", "aaabbbcccaab", "Owner@Shop.Example", "QWERTY123456", "xy" * 20]
)
def test_guessable_passwords_are_refused(password):
    with pytest.raises(InvalidArgument) as caught:
        check_new_password(password, "owner@shop.example")
    assert caught.value.reason == "PASSWORD_BREACHED"


def test_no_fault_repeats_the_password():
    for password in ("tiny", "qwerty123456", "z" * 200):
        with pytest.raises(InvalidArgument) as caught:
            check_new_password(password, "owner@shop.example")
        assert not re.search(re.escape(password), caught.value.message)


@pytest.fixture
def peppered():
    made = PasswordHasher("a pepper of more than 32 characters")
    yield made
    made.close()


async def test_a_peppered_hash_matches_with_its_pepper_only(hasher, peppered):
    encoded = await peppered.hash("a lantern under the bridge")
    assert re.fullmatch(r"pepper-[0-9a-f]{8}\$argon2id\$.*", encoded)
    assert await peppered.verify(encoded, "a lantern under the bridge")
    assert not await peppered.verify(encoded, "a lantern under the bridgf")
    assert not await hasher.verify(encoded, "a lantern under the bridge")
    other = PasswordHasher("another pepper of more than 32 characters")
    assert not await other.verify(encoded, "a lantern under the bridge")
    other.close()


async def test_hashes_from_before_the_pepper_match_and_are_outdated(hasher, peppered):
    encoded = await hasher.hash("a lantern under the bridge")
    assert await peppered.verify(encoded, "a lantern under the bridge")
    assert peppered.is_outdated(encoded)
    assert not hasher.is_outdated(encoded)
    assert not peppered.is_outdated(await peppered.hash("x"))
    assert hasher.is_outdated(await peppered.hash("x"))


def test_a_short_pepper_is_refused():
    with pytest.raises(ValueError, match="32"):
        PasswordHasher("short")
