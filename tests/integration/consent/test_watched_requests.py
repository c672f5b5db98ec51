"""A change stream tells of persons who restricted, objected or were erased, whatever else was told just before."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from cohortlens.bootstrap.rights import open_rights
from cohortlens.consent.data_requests.models import DataRequestType
from cohortlens.consent.watch import ConsentWatch
from cohortlens.core.sealing import Keyring
from cohortlens.core.tenant_keys import TenantKeys

PURPOSES = ["data_sharing", "marketing", "profiling", "rewards"]


@pytest.mark.parametrize("type_", ["RESTRICTION", "OBJECTION", "ERASURE"])
async def test_the_stream_tells_of_a_request_that_was_worked_on(
    database, redis_client, tenants, tmp_path, type_
):
    tenant = tenants[0]
    ctx, keys = tenant.context(), TenantKeys(Keyring(b"k" * 32))
    rights = open_rights(database, redis_client, keys, tmp_path)

    async def approved(**more):
        request = await rights.requests.create(
            ctx, "external:ann", DataRequestType(type_), channel="EMAIL", verification="seen", **more
        )
        await rights.requests.approve(ctx, request.request_id)
        # A watcher was told of an act that is the newest one of the audit chain by now.
        async with database.tenant_transaction(tenant.tenant_id) as tx:
            version = await tx.scalar(text("SELECT seq FROM audit_heads WHERE tenant_id = app.tid()"))
        await rights.work.run(tenant.tenant_id, request.request_id)
        stream = ConsentWatch(database, poll_s=0.01).follow(tenant.context(timeout_s=3.0), version)
        async for message in stream:
            told = {one.purpose for one in message.changes if one.identity_id == request.identity_id}
            assert sorted(told) == PURPOSES
            assert all(one.version > version for one in message.changes)
            return
        raise AssertionError("the stream ended and told nothing")

    await approved()
    if type_ != "ERASURE":
        await approved(is_lifting=True)
