"""No secret is written: by its form, by the name of its field, or because the request brought it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortlens.core import telemetry
from cohortlens.core.scrubbing import hiding, is_clean, scrub

ROOT = Path(__file__).resolve().parents[4]
JWT = "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
SECRETS = {
    "a bearer token": ("Authorization: Bearer opaque-canary-1", "opaque-canary-1"),
    "a bearer token in a header dump": ("(b'authorization', b'Bearer opaque-canary-2')", "opaque-canary-2"),
    "basic credentials": ("authorization: basic dXNlcjpjYW5hcnk=", "dXNlcjpjYW5hcnk"),
    "an API key": ("key cl_live_0a1b2c3d4e5f_" + "K" * 43 + "abc123 refused", "K" * 43),
    "an API key of a test": ("cl_test_0a1b2c3d4e5f_" + "K" * 43 + "abc123", "K" * 43),
    "a JWT": (f"token {JWT}, which", "c2lnbmF0dXJl"),
    "a JWT without signature": ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "eyJzdWIiOiJ4In0"),
    "a password in a URL": ("cannot reach postgresql://cl_app:hunter2@db:5432/x", "hunter2"),
    "a password without a user": ("redis://:hunter2@127.0.0.1:6379/0", "hunter2"),
    "an e-mail address": ("no user Ada.Lovelace+x@shop.example here", "Lovelace"),
    "an address in a driver's detail": ("DETAIL:  Key (email)=(ada@shop.example) already exists.", "ada"),
    "an authenticator's address": (
        "otpauth://totp/CohortLens:ada?secret=JBSWY3DPEHPK3PXP",
        "JBSWY3DPEHPK3PXP",
    ),
    "an authenticator's secret": ("secret JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP of the app", "JBSWY3DPEHPK3PXP"),
    "a one-time token": ("/verify?token=" + "aB3-_" * 8 + "xyz", "aB3-_aB3"),
    "a refresh token": ("AQ" + "x_-Y" * 13 + "z", "x_-Yx_-Y"),
    "a key in base64": ("COHORTLENS_KEK=" + "Ab+/" * 10 + "Ab+=", "Ab+/Ab+/"),
}
HARMLESS = [
    "0193b0a0-0000-7000-8000-000000000001",
    "/cohortlens.v1.AnalyticsService/Predict",
    "cohortlens/core/telemetry.py:120 in format; basically nothing bears on it; class_name",
    "d" * 64,
    "e3b0c44298fc1c149afbf4c8996fb924",
    "postgresql://127.0.0.1:15432/cohortlens",
    "http://127.0.0.1:8080/api/v1/customers?page_size=1",
    "a @ b, @property, x@",
    "the authorization header must read: Bearer <token>",
    "AKIAIOSFODNN7EXAMPLE_CONSTANT_NAME_OF_OURS",
]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_of_a_known_form_is_masked(name):
    text, secret = SECRETS[name]
    assert secret not in scrub(text)
    assert "****" in scrub(text)
    assert scrub(scrub(text)) == scrub(text)
    assert not is_clean(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays_as_it_is(text):
    assert scrub(text) == text


@given(st.text(max_size=300))
def test_scrubbing_any_text_ends_and_twice_is_once(text):
    assert scrub(scrub(text)) == scrub(text)


def test_long_texts_without_secrets_cost_linear_time():
    # The forms are bounded: a run of 200,000 characters that might begin an address is looked at once.
    for text in ("a" * 200_000 + "@", "a." * 100_000 + "@", "://" + ":" * 200_000 + "@", "eyJ" * 60_000):
        assert scrub(text)


@pytest.fixture
def lines():
    """Lines written by a debug logger, and a way to write them."""
    stream = io.StringIO()
    telemetry.configure_logging("debug", "json", stream)

    def written():
        for handler in logging.getLogger().handlers:
            handler.flush()
        return stream.getvalue()

    yield written
    telemetry.configure_logging("info", "json")


LOG = telemetry.get_logger("tests.canary")


@pytest.mark.parametrize("fmt", ["json", "text"])
def test_lines_fields_and_stacks_are_scrubbed_at_every_level(fmt):
    stream = io.StringIO()
    telemetry.configure_logging("debug", fmt, stream)
    try:
        for text, _ in SECRETS.values():
            LOG.debug("debugging", detail=text, nested={"inner": [text]})
            try:
                raise ValueError(text)
            except ValueError:
                LOG.exception("failed")
        LOG.info("fields", password="plain-canary", token="plain-canary", count=3)
        written = stream.getvalue()
    finally:
        telemetry.configure_logging("info", "json")
    assert [name for name, (_, secret) in SECRETS.items() if secret in written] == []
    assert "plain-canary" not in written
    assert "3" in written
    if fmt == "json":
        assert all(json.loads(line)["ts"] for line in written.splitlines())


@pytest.mark.parametrize("value", ["correct horse", 'quo"te\\slash', "línea\nnueva", "日本語の秘密"])
def test_what_a_request_brought_is_masked_in_whatever_form_it_comes_back(lines, value):
    def fail():
        raise ValueError(f"bad password: {value!r} or {value}")

    async def elsewhere():
        LOG.debug("in another task", detail=f"-{value}-")

    async def run():
        with hiding(lambda: [value, "no"]):
            LOG.info("typed", what=value, again=[f"<{value}>"])
            try:
                fail()
            except ValueError:
                LOG.exception("failed")
            await asyncio.create_task(elsewhere())
        LOG.info("after", what="no secret, no harm")

    asyncio.run(run())
    written = lines()
    for form in (
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
    ):
        assert form not in written
    assert "no secret, no harm" in written


CRASH = """
import sys, threading, gc, warnings
from cohortlens.core.telemetry import configure_logging
configure_logging()
def boom(): raise ValueError(sys.argv[1])
class Odd:
    def __del__(self): raise ValueError(sys.argv[1])
Odd(); gc.collect()
warnings.warn("deprecated: " + sys.argv[1])
thread = threading.Thread(target=boom); thread.start(); thread.join()
boom()
"""


def test_a_crash_report_holds_the_stack_and_no_secret():
    done = subprocess.run(
        [sys.executable, "-c", CRASH, f"{JWT} postgresql://u:hunter2@h/x"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("ValueError") == 3
    assert "deprecated: ****" in done.stdout
    assert JWT not in done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr
