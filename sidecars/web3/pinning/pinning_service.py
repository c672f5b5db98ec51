"""The Pinning Service API as a service: it is told a CID and fetches the content from whoever has it.

Source: IPFS Pinning Service API 1.0.0 (ipfs.github.io/pinning-services-api-spec).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sidecars.web3.pinning.backends import Content, HttpCalls, Kept, check_cid
from sidecars.web3.pinning.cid import Cid
from sidecars.web3.pinning.errors import PinBackendUnavailable, PinCidMismatch

_STATES = "queued,pinning,pinned,failed"
_REASONS = {"queued": "PIN_BACKEND_QUEUED", "pinning": "PIN_BACKEND_FETCHING"}


class PinningServiceBackend:
    """Keeps content at a service of that API; another backend must have made it reachable.

    Args:
        url: Its URL, as its provider states it.
        token: Its access token.
    """

    name = "pinning-service"
    has_one_pin_per_cid = False

    def __init__(self, url: str, token: str) -> None:
        self._calls = HttpCalls(url, token)

    async def keep(self, content: Content, remote_id: str) -> Kept:
        """Ask for the pin, or how far it is."""
        status = await self._status(content, remote_id)
        if not status:
            body = {"cid": str(content.cid), "name": content.name, "meta": {}}
            status = await self._calls.json("POST", "/pins", json=body)
        request_id = _text(status, "requestid")
        try:
            check_cid(_pin(status).get("cid"), content.cid)
        except PinCidMismatch:
            await self._delete(request_id)
            raise
        state = _text(status, "status")
        if state == "failed":
            # It does not try again by itself; without the old request the next try makes a new one.
            await self._delete(request_id)
            return Kept(is_pinned=False, reason="PIN_BACKEND_FAILED")
        if state != "pinned" and state not in _REASONS:
            raise PinBackendUnavailable("the pinning service answered an unknown state")
        return Kept(state == "pinned", request_id, _REASONS.get(state, ""))

    async def release(self, name: str, cid: Cid, remote_id: str) -> None:
        """Delete the request, or those that an answer was lost of."""
        found = (
            [remote_id] if remote_id else [_text(row, "requestid") for row in await self._found(name, cid)]
        )
        for request_id in found:
            await self._delete(request_id)

    async def close(self) -> None:
        """Let its connections go."""
        await self._calls.close()

    async def _status(self, content: Content, remote_id: str) -> dict[str, Any]:
        if remote_id:
            return await self._calls.json("GET", f"/pins/{quote(remote_id, safe='')}", missing_is_fine=True)
        # A request whose answer was lost is there already: a second one would be paid for twice.
        rows = await self._found(content.name, content.cid)
        return rows[0] if rows else {}

    async def _found(self, name: str, cid: Cid) -> list[dict[str, Any]]:
        asked = {"cid": str(cid), "name": name, "match": "exact", "status": _STATES}
        answer = await self._calls.json("GET", "/pins", params=asked)
        rows = answer.get("results")
        if not isinstance(rows, list):
            raise PinBackendUnavailable("the pinning service listed no results")
        return [row for row in rows if isinstance(row, dict) and _pin(row).get("name") == name]

    async def _delete(self, request_id: str) -> None:
        await self._calls.json("DELETE", f"/pins/{quote(request_id, safe='')}", missing_is_fine=True)


def _pin(status: dict[str, Any]) -> dict[str, Any]:
    pin = status.get("pin")
    return pin if isinstance(pin, dict) else {}


def _text(row: dict[str, Any], member: str) -> str:
    value = row.get(member)
    if not isinstance(value, str) or not value or len(value) > 200:
        raise PinBackendUnavailable(f"the pinning service answered without {member}")
    return value
