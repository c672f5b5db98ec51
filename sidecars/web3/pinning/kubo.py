"""Kubo's RPC as a service: a node of one's own, or one with HTTP Basic as Infura has it.

Driven by ``ipfshttpclient``, which is synchronous: its work is done in a thread of its own.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

import ipfshttpclient
import requests
from ipfshttpclient import exceptions as faults

from sidecars.web3.pinning.backends import Content, Kept, check_cid, check_status
from sidecars.web3.pinning.cid import Cid
from sidecars.web3.pinning.errors import PinBackendUnavailable, PinCidMismatch
from sidecars.web3.pinning.unixfs import PIECE_BYTES

# The client hands urllib3 an argument that urllib3 2 warns about at each new connection.
warnings.filterwarnings("ignore", "The 'strict' parameter is no longer", FutureWarning)

ResultT = TypeVar("ResultT")

_TIMEOUT_S = (10.0, 60.0)
# Each of them named: a node's own defaults may change, and another of them gives another CID.
_ADD = {
    "cid-version": "1",
    "raw-leaves": "true",
    "chunker": f"size-{PIECE_BYTES}",
    "hash": "sha2-256",
    "pin": "true",
}
_NOT_PINNED = "not pinned"


class KuboBackend:
    """Keeps content at a node that speaks Kubo's RPC.

    Args:
        url: Its URL; a path before ``/api/v0`` is kept.
        auth: ``id:secret`` for HTTP Basic; empty for none.
    """

    name = "kubo"
    has_one_pin_per_cid = True

    def __init__(self, url: str, auth: str = "") -> None:
        address, base = _address(url)
        user, _, secret = auth.partition(":")
        # A transfer that hangs must not take the threads that local reads and adds need.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kubo")
        self._client: Any = ipfshttpclient.Client(
            address, base, auth=(user, secret) if auth else None, timeout=_TIMEOUT_S, session=True
        )

    async def keep(self, content: Content, remote_id: str) -> Kept:  # noqa: ARG002 - the CID is enough
        """Add the bytes with every parameter named, and see that they are pinned."""
        await self._run(lambda: self._keep(content))
        return Kept(is_pinned=True)

    async def release(self, name: str, cid: Cid, remote_id: str) -> None:  # noqa: ARG002 - the CID is enough
        """Remove the pin; the node collects the blocks when it does."""
        await self._run(lambda: self._unpin(str(cid)))

    async def close(self) -> None:
        """Let its connections go, after the transfer at hand."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self._client.close()

    def _keep(self, content: Content) -> None:
        answered = self._client.add_bytes(content.pieces(), opts=_ADD)
        try:
            check_cid(answered, content.cid)
        except PinCidMismatch:
            self._unpin(str(answered))
            raise
        listed = self._client.pin.ls(str(answered), type="recursive")
        if str(answered) not in listed["Keys"]:
            raise PinBackendUnavailable("the node took the content and does not list its pin")

    def _unpin(self, cid: str) -> None:
        try:
            self._client.pin.rm(cid)
        except faults.ErrorResponse as error:
            if _NOT_PINNED not in str(error):
                raise

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: _translated(work))


def _translated(work: Callable[[], ResultT]) -> ResultT:
    try:
        return work()
    except faults.StatusError as error:
        answer = getattr(error.original, "response", None)
        status, headers = (500, {}) if answer is None else (answer.status_code, answer.headers)
        check_status(status, headers)
        raise PinBackendUnavailable("the node broke off its answer") from error
    except (faults.Error, requests.RequestException, KeyError, AssertionError) as error:
        # Assertions are how the client says that an answer has not the form it expects.
        raise PinBackendUnavailable("the node does not answer as a node does", retry_delay_s=1.0) from error


def _address(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    kind = "ip6" if ":" in host else "ip4" if host.replace(".", "").isdigit() else "dns"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"/{kind}/{host}/tcp/{port}/{parts.scheme}", f"{parts.path.rstrip('/')}/api/v0"
