"""Files of exports: they go with their time, with their person, and with a failure."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from cohortlens.consent.data_requests.models import ExportNotReady
from tests.fixtures.people import MARK, file_traces, marked_person
from tests.integration.consent.asking import TYPE, archive_of, asked, done


async def test_the_file_of_an_export_is_removed_when_its_time_is_over(
    rights, customers, database, tenant, tmp_path
):
    await marked_person(database, customers, tenant, tmp_path)
    request = await done(rights, tenant)
    assert await rights.work.sweep() == 0
    rights.work._clock = rights.requests._clock = lambda: datetime.now(UTC) + timedelta(days=8)
    with pytest.raises(ExportNotReady):
        await rights.requests.content(tenant.tenant_id, request.request_id)
    assert await rights.work.sweep() == 1
    assert file_traces(tmp_path / "data-exports", MARK) == []


@pytest.mark.parametrize("late_at", ["customers", "package"])
async def test_an_export_under_way_leaves_no_file_of_a_person_who_is_erased_meanwhile(
    rights, customers, database, tenant, tmp_path, monkeypatch, late_at
):
    await marked_person(database, customers, tenant, tmp_path)
    export = await asked(rights, tenant, TYPE.ACCESS)
    await rights.requests.approve(tenant.context(), export.request_id)
    work, do = rights.work, rights.work._do

    async def overtaken(tenant_id, request, step):
        if step.name == late_at and request.request_id == export.request_id:
            monkeypatch.setattr(work, "_do", do)
            await done(rights, tenant, TYPE.ERASURE)
        await do(tenant_id, request, step)

    monkeypatch.setattr(work, "_do", overtaken)
    with suppress(FileNotFoundError):
        await work.run(tenant.tenant_id, export.request_id)

    found = await rights.requests.get(tenant.tenant_id, export.request_id)
    assert found.state == "CANCELLED"
    assert file_traces(tmp_path / "data-exports", "") == []


async def test_an_export_that_failed_keeps_no_file_and_begins_anew_when_it_is_approved_again(
    rights, customers, database, tenant, tmp_path, monkeypatch
):
    await marked_person(database, customers, tenant, tmp_path)
    request = await asked(rights, tenant)
    await rights.requests.approve(tenant.context(), request.request_id)
    package = rights.work._package

    async def broken(tenant_id, request):
        raise OSError("the disk is gone")

    monkeypatch.setattr(rights.work, "_package", broken)
    with pytest.raises(OSError, match="disk"):
        await rights.work.run(tenant.tenant_id, request.request_id)
    await rights.work.fail(tenant.tenant_id, request.request_id)
    assert file_traces(tmp_path / "data-exports", "") == []

    monkeypatch.setattr(rights.work, "_package", package)
    await rights.requests.approve(tenant.context(), request.request_id)
    await rights.work.run(tenant.tenant_id, request.request_id)
    assert json.loads((await archive_of(rights, tenant, request.request_id)).read("manifest.json"))["files"]


async def test_files_of_a_tenant_that_nobody_knows_are_swept(rights, customers, database, tenant, tmp_path):
    folder = tmp_path / "data-exports" / str(UUID(int=7)) / str(UUID(int=8))
    folder.mkdir(parents=True)
    assert await rights.work.sweep() == 1
    assert not folder.exists()
