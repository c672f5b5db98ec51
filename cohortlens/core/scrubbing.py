"""Keep secrets out of what is written: log lines, stacks, crash reports, error texts. Standard library only.

A secret is known by its form (bearer tokens, API keys, JWTs, refresh and one-time tokens, passwords in URLs,
secrets of authenticator apps, e-mail addresses), by the name of the field it stands in, or because the
request under way brought it. ``cohortlens.core.telemetry`` sends every line through ``scrub``.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

MASK = "****"
_SHORTEST = 4
"""A shorter value of a secret field is left: masking each ``1`` of a line would tell which it was."""

_HIDDEN: ContextVar[Callable[[], Iterable[str]] | None] = ContextVar("hidden", default=None)

# Names as protos, tables and settings have them; the gateway adds every field that is marked sensitive.
_NAMES = {
    "access_token", "api_key", "authorization", "client_secret", "code_verifier", "cookie", "email",
    "id_token", "kek", "mfa_token", "new_password", "old_password", "otp", "password", "private_key",
    "recovery_code", "refresh_token", "secret", "set_cookie", "token", "totp",
}  # fmt: skip
# What lines call otherwise: the canonical code of a call, the key of an event.
_NOT_HIDDEN = frozenset({"code", "key", "name", "value"})

_BEARER = re.compile(r"\b(bearer|basic)(\s+|%20)[^\s\"',;\\<>]{4,}", re.IGNORECASE)
_API_KEY = re.compile(r"\bcl_(live|test)_[A-Za-z0-9_]{8,}")
_PAYMENT_KEY = re.compile(r"\b((?:sk|rk)_(?:live|test)|whsec)_[A-Za-z0-9+/=]{4,}")
_JWT = re.compile(r"\beyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*){0,3}")
_URL_PASSWORD = re.compile(r"(://[^\s:/@\"']{0,64}):[^\s@\"']{1,256}@")
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.)+[\w-]{2,63}")
_OTPAUTH = re.compile(r"otpauth(?:-migration)?:[^\s\"']+")
_RUN = re.compile(r"[\w-]{32,}", re.ASCII)
# 43 characters are 256 bits in base64url: one-time tokens, codes and keys of OAuth. 55 are a refresh token.
_OPAQUE_LENGTHS = (43, 55)
_BASE64_KEY = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=(?!=)")
_BASE32 = re.compile(r"[A-Z2-7]{32}|[A-Z2-7]{52}")


def scrub(text: str) -> str:
    """The text without secrets of a known form and without what ``hiding`` names.

    Most lines hold none: what is cheap to look for decides whether a form is looked for at all.
    """
    hidden = _HIDDEN.get()
    if hidden is not None:
        text = _without(text, hidden())
    if "earer" in text or "asic" in text or "EARER" in text or "ASIC" in text:
        text = _BEARER.sub(rf"\1 {MASK}", text)
    if "cl_" in text:
        text = _API_KEY.sub(rf"cl_\1_{MASK}", text)
    if "k_live_" in text or "k_test_" in text or "whsec_" in text:
        text = _PAYMENT_KEY.sub(rf"\1_{MASK}", text)
    if "eyJ" in text:
        text = _JWT.sub(MASK, text)
    if "otpauth" in text:
        text = _OTPAUTH.sub(f"otpauth:{MASK}", text)
    if "@" in text:
        text = _EMAIL.sub(MASK, _URL_PASSWORD.sub(rf"\1:{MASK}@", text))
    if "=" in text:
        text = _BASE64_KEY.sub(MASK, text)
    return _RUN.sub(_run, text)


def scrub_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a log line, without the values of those whose names mean a secret."""
    if _NAMES.isdisjoint(fields):
        return fields
    return {name: MASK if name in _NAMES and value else value for name, value in fields.items()}


def is_clean(text: str) -> bool:
    """Whether nothing in the text has the form of a secret."""
    return scrub(text) == text


def hide_names(names: Iterable[str]) -> None:
    """Mask the values of log fields of these names from now on."""
    _NAMES.update(set(names) - _NOT_HIDDEN)


@contextmanager
def hiding(values: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Inside, lines and error texts do not hold these values, whatever form they have.

    Args:
        values: Gives them; asked only when something is written.
    """
    token = _HIDDEN.set(values)
    try:
        yield
    finally:
        _HIDDEN.reset(token)


def scrub_crashes() -> None:
    """Scrub what this process prints when it ends by an exception, or cannot raise one."""
    sys.excepthook = _report
    sys.unraisablehook = _report_unraisable
    threading.excepthook = _report_thread


def _run(found: re.Match[str]) -> str:
    run = found[0]
    return MASK if len(run) in _OPAQUE_LENGTHS or _BASE32.fullmatch(run) else run


def _without(text: str, values: Iterable[str]) -> str:
    # A longer value first: it may hold a shorter one.
    for value in sorted({one for one in values if len(one) >= _SHORTEST}, key=len, reverse=True):
        for written in {
            value,
            json.dumps(value)[1:-1],
            json.dumps(value, ensure_ascii=False)[1:-1],
            repr(value)[1:-1],
        }:
            text = text.replace(written, MASK)
    return text


def _report(kind: type[BaseException], error: BaseException, stack: TracebackType | None) -> None:
    sys.stderr.write(scrub("".join(traceback.format_exception(kind, error, stack))))


def _report_unraisable(what: sys.UnraisableHookArgs) -> None:
    if what.exc_value is not None:
        _report(what.exc_type, what.exc_value, what.exc_traceback)


def _report_thread(what: threading.ExceptHookArgs) -> None:
    if what.exc_value is not None and what.exc_type is not SystemExit:
        _report(what.exc_type, what.exc_value, what.exc_traceback)
