"""Identifiers: in the form of RFC 9562, in order of time, never twice."""

import os
import threading
import time
from uuid import RFC_4122, UUID

from cohortlens.core import ids


def test_both_forms_are_version_seven_and_carry_the_time():
    for made in (ids.uuid7(), UUID(ids.uuid7_text())):
        assert (made.version, made.variant) == (7, RFC_4122)
        assert abs((made.int >> 80) / 1000 - time.time()) < 5
    text = ids.uuid7_text()
    assert ids.parse_uuid(text) == UUID(text)


def test_threads_never_get_the_same_digits():
    found = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda one: one.extend(ids.random_hex() for _ in range(5000)), args=(one,))
        for one in found
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [digits for one in found for digits in one]
    assert len(set(everything)) == len(everything) == 20_000
    assert {len(digits) for digits in everything} == {32}


def test_a_forked_child_does_not_repeat_its_parent():
    ids.random_hex()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, ids.random_hex().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 64).decode() not in {ids.random_hex() for _ in range(300)}
    os.close(reading)
    os.close(writing)
