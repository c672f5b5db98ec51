"""Texts that cost their reader far more than their writer: each ends after a bounded number of calls."""

from __future__ import annotations

import sys
from concurrent.futures import Executor, Future

import pytest

from sidecars.web3.credentials.contexts import CREDENTIALS_V2
from sidecars.web3.credentials.documents import CONSENT_CONTEXT
from tests.fixtures import signed_credentials as made

SUBJECT = ("credentialSubject",)
LIMIT = "VC_CANONICALIZATION_LIMIT"
MOST_CALLS = 1_000_000


class Inline(Executor):
    """Runs at once in this thread, where calls can be counted."""

    def submit(self, work, /, *given, **named):
        future = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(work(*given, **named))
        except BaseException as error:
            future.set_exception(error)
        return future


def leaves(count):
    return {"purpose": [{"noticeDigest": "x"} for _ in range(count)]}


def tree(depth, width):
    return {"purpose": [tree(depth - 1, width) for _ in range(width)]} if depth else {"noticeDigest": "x"}


def about(subject):
    return made.altered(made.signed(), SUBJECT, subject)


def under(*contexts):
    return made.signed() | {"@context": [CREDENTIALS_V2, *contexts]}


HOSTILE = {
    "two nodes with 8 leaves that look alike": (about([leaves(8), leaves(8)]), [LIMIT]),
    "two nodes with 120 leaves that look alike": (about([leaves(120), leaves(120)]), [LIMIT]),
    "a tree of nodes that look alike": (about(tree(6, 2)), [LIMIT]),
    "25 chains that look alike": (about([tree(8, 1) for _ in range(25)]), ["VC_SIGNATURE_INVALID"]),
    "a context 1,500 times": (under(*[CREDENTIALS_V2] * 1_500), ["VC_MALFORMED"]),
    "our context behind a context 15 times": (under(*[CREDENTIALS_V2] * 14, dict(CONSENT_CONTEXT)), []),
    "a long relative identifier": (made.altered(made.signed(), (*SUBJECT, "id"), "../" * 20_000),
                                   ["VC_RELATIVE_IRI"]),
    "eight proofs": (made.signed() | {"proof": [made.signed()["proof"]] * 8}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_text_makes_the_verifier_work_without_end(name, monkeypatch):
    monkeypatch.setattr(made, "_POOL", Inline())
    document, expected = HOSTILE[name]
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        found = await made.reasons(document)
    finally:
        sys.setprofile(before)
    assert found == expected
    assert calls < MOST_CALLS
