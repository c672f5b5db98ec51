"""Asking for what a person has a right to, as staff does."""

from __future__ import annotations

import io
import zipfile

from cohortlens.consent.data_requests.models import DataRequestType
from tests.fixtures.people import MARK

TYPE = DataRequestType


async def asked(rights, tenant, type_=TYPE.ACCESS, customer=f"external:{MARK}", **given):
    given.setdefault("verification", "seen at the desk")
    return await rights.requests.create(tenant.context(), customer, type_, channel="EMAIL", **given)


async def done(rights, tenant, *args, **given):
    """A request that was approved and worked on."""
    request = await asked(rights, tenant, *args, **given)
    await rights.requests.approve(tenant.context(), request.request_id)
    await rights.work.run(tenant.tenant_id, request.request_id)
    return await rights.requests.get(tenant.tenant_id, request.request_id)


async def archive_of(rights, tenant, request):
    content = b"".join([piece async for piece in await rights.requests.content(tenant.tenant_id, request)])
    return zipfile.ZipFile(io.BytesIO(content))
