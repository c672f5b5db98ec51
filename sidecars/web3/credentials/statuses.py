"""Reads the status of a credential; whatever cannot be read refuses it (step 9 of the verification).

Lists of ours come from the journal by way of memory, so a withdrawal counts within a second and not only
when its list is public. Those of others are fetched anew each time from allowed hosts and verified like any
credential.
"""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from sidecars.web3.credentials import bits
from sidecars.web3.credentials.documents import ENTRY_TYPE, LIST_PATH, LIST_TYPE
from sidecars.web3.credentials.fetching import Fetcher, FetchError
from sidecars.web3.credentials.forms import Form
from sidecars.web3.credentials.own_lists import OwnLists
from sidecars.web3.credentials.reading import JsonObject
from sidecars.web3.credentials.refusals import Refusal, RefusedError
from sidecars.web3.credentials.verifier import Verifier

MAX_LIST_BYTES = 4 * 1024 * 1024
_PURPOSES = {"revocation": "VC_REVOKED", "suspension": "VC_SUSPENDED"}
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}\Z")
_OWN = re.compile(re.escape(LIST_PATH) + r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\Z")
_SUBJECT_TYPE = "BitstringStatusList"
_MOST_ENTRIES = 8


class StatusReader:
    """Reads status lists for the verifier.

    Args:
        own: Our own lists.
        fetcher: For those of others.
        verifier: Verifies the lists of others.
    """

    def __init__(self, own: OwnLists, fetcher: Fetcher, verifier: Verifier) -> None:
        self._own_lists = own
        self._fetcher = fetcher
        self._verifier = verifier

    async def check(self, form: Form, now: datetime) -> list[Refusal]:
        """What the status entries of a credential say against it; empty when they say nothing."""
        if len(form.statuses) > _MOST_ENTRIES:
            return [bits.invalid(f"a credential has at most {_MOST_ENTRIES} entries").refusal]
        refusals = []
        for entry in form.statuses:
            try:
                reason = await self._entry(entry, form.issuer, now)
            except RefusedError as refused:
                refusals.append(refused.refusal)
            else:
                refusals += [Refusal(reason, "Its issuer has taken it back.")] if reason else []
        return refusals

    async def _entry(self, entry: JsonObject, issuer: str, now: datetime) -> str | None:
        purpose, url = entry.get("statusPurpose"), entry.get("statusListCredential")
        if entry.get("type") != ENTRY_TYPE or not isinstance(purpose, str) or purpose not in _PURPOSES:
            raise RefusedError(
                "STATUS_TYPE_UNSUPPORTED",
                f"Only {ENTRY_TYPE} with the purposes {' and '.join(_PURPOSES)} is supported.",
            )
        index = entry.get("statusListIndex")
        if not isinstance(index, str) or not _INDEX.fullmatch(index) or not isinstance(url, str):
            raise bits.invalid("the entry names no list and index")
        is_set = await self._own(url, int(index), purpose, issuer)
        if is_set is None:
            is_set = await self._foreign(url, entry, int(index), issuer, now)
        return _PURPOSES[purpose] if is_set else None

    async def _own(self, url: str, index: int, purpose: str, issuer: str) -> bool | None:
        """The bit in a list of ours; None where the address is of no list of ours.

        The host does not matter: an address of ours may have changed, and a stranger who borrows the name of
        our list is caught by its issuer.
        """
        found = _OWN.search(urlsplit(url).path) if _is_plain(url) else None
        if found is None:
            return None
        kept = await self._own_lists.find(UUID(found[1]))
        if kept is None:
            return None
        _check_list(purpose, [kept.purpose], issuer, kept.issuer_did)
        return bits.value_at(kept.bits, index) != 0

    async def _foreign(self, url: str, entry: JsonObject, index: int, issuer: str, now: datetime) -> bool:
        found = await self._verifier.verify(await self._fetched(url), now, None, max_bytes=MAX_LIST_BYTES)
        if not found.is_verified or found.form is None or found.document is None:
            why = ", ".join(one.reason for one in found.refusals)
            raise bits.invalid(f"it does not verify itself ({why})")
        subject = found.document["credentialSubject"]
        if LIST_TYPE not in found.form.types or not isinstance(subject, dict):
            raise bits.invalid(f"it is no {LIST_TYPE}")
        if subject.get("type") != _SUBJECT_TYPE or found.document.get("id", url) != url:
            raise bits.invalid("its subject or identifier is another")
        purposes = subject.get("statusPurpose")
        listed = purposes if isinstance(purposes, list) else [purposes]
        _check_list(str(entry["statusPurpose"]), listed, issuer, found.form.issuer)
        size = entry.get("statusSize", 1)
        if type(size) is not int:
            raise bits.invalid("the size of an entry is 1, 2, 4 or 8 bits")
        return bits.value_at(bits.decode(subject.get("encodedList")), index, size) != 0

    async def _fetched(self, url: str) -> bytes:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise bits.invalid("its address cannot be read") from None
        expected = "http" if host == "localhost" else "https"
        if parts.scheme != expected or parts.username or parts.fragment or not _is_plain(url):
            raise bits.invalid("its address is no plain https address")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            return await self._fetcher.get(host, port, path, MAX_LIST_BYTES)
        except FetchError as fault:
            raise RefusedError(
                "STATUS_LIST_UNAVAILABLE", f"The status list is not at hand: {fault}."
            ) from None


def _check_list(purpose: str, purposes: list[object], issuer: str, list_issuer: str) -> None:
    if purpose not in purposes:
        raise RefusedError("STATUS_PURPOSE_MISMATCH", "The status list is for another purpose.")
    if issuer != list_issuer:
        raise RefusedError("STATUS_LIST_ISSUER_MISMATCH", "The status list is of another issuer.")


def _is_plain(url: str) -> bool:
    """Whether every reader takes the address apart alike."""
    return url.isascii() and url.isprintable() and not set(url) & set(' \\"<>')
