"""Pinata as a service: it is sent the bytes and keeps them on the public network.

Source: Pinata's API reference, version 3 (docs.pinata.cloud/api-reference): uploads, list and delete files.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import aiohttp

from sidecars.web3.pinning.backends import Content, HttpCalls, Kept, check_cid
from sidecars.web3.pinning.cid import Cid
from sidecars.web3.pinning.errors import PinBackendUnavailable, PinCidMismatch

API_URL = "https://api.pinata.cloud"
UPLOADS_URL = "https://uploads.pinata.cloud"


class PinataBackend:
    """Keeps content at Pinata.

    Args:
        token: A JWT that may write and delete files.
        url: Address of both of its hosts; empty for Pinata's own.
    """

    name = "pinata"
    has_one_pin_per_cid = True

    def __init__(self, token: str, url: str = "") -> None:
        self._api = HttpCalls(url or API_URL, token)
        self._uploads = HttpCalls(url or UPLOADS_URL, token)

    async def keep(self, content: Content, remote_id: str) -> Kept:
        """Upload the bytes, unless an upload whose answer was lost is there."""
        if remote_id:
            return Kept(is_pinned=True, remote_id=remote_id)
        found = await self._found(content.name, content.cid)
        file = found[0] if found else await self._upload(content)
        file_id = _text(file, "id")
        try:
            check_cid(file.get("cid"), content.cid)
        except PinCidMismatch:
            await self._delete(file_id)
            raise
        return Kept(is_pinned=True, remote_id=file_id)

    async def release(self, name: str, cid: Cid, remote_id: str) -> None:
        """Delete the file, or those that an answer was lost of."""
        found = [remote_id] if remote_id else [_text(row, "id") for row in await self._found(name, cid)]
        for file_id in found:
            await self._delete(file_id)

    async def close(self) -> None:
        """Let its connections go."""
        await self._api.close()
        await self._uploads.close()

    async def _upload(self, content: Content) -> dict[str, Any]:
        form = aiohttp.FormData()
        form.add_field("network", "public")
        form.add_field("name", content.name)
        form.add_field("cid_version", "v1")
        form.add_field(
            "file", content.stream(), filename=content.name, content_type="application/octet-stream"
        )
        answer = await self._uploads.json("POST", "/v3/files", data=form)
        return _data(answer)

    async def _found(self, name: str, cid: Cid) -> list[dict[str, Any]]:
        answer = await self._api.json("GET", "/v3/files/public", params={"name": name, "cid": str(cid)})
        files = _data(answer).get("files") or []
        if not isinstance(files, list):
            raise PinBackendUnavailable("the pinning service listed no files")
        # The service matches names in part.
        return [file for file in files if isinstance(file, dict) and file.get("name") == name]

    async def _delete(self, file_id: str) -> None:
        await self._api.json("DELETE", f"/v3/files/public/{quote(file_id, safe='')}", missing_is_fine=True)


def _data(answer: dict[str, Any]) -> dict[str, Any]:
    data = answer.get("data")
    if not isinstance(data, dict):
        raise PinBackendUnavailable("the pinning service answered without data")
    return data


def _text(row: dict[str, Any], member: str) -> str:
    value = row.get(member)
    if not isinstance(value, str) or not value or len(value) > 200:
        raise PinBackendUnavailable(f"the pinning service answered without {member}")
    return value
