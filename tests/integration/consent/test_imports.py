"""Consent that comes with a file: everybody of the file, in the import's own transaction, told to nobody."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from cohortlens.consent.imports import ConsentImports
from cohortlens.consent.models import ActType
from cohortlens.core.errors import InvalidArgument
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.consents import ImportedConsent
from tests.integration.consent.crew import KEK, crew_of

G, W = ActType.GIVEN, ActType.WITHDRAWN
_STATES = "SELECT state, version, identity_id FROM user_consents ORDER BY identity_id"


@pytest.fixture
async def crew(runtime, tenants):
    return await crew_of(runtime, tenants[0])


@pytest.fixture
def imports(crew):
    return ConsentImports(TenantKeys(KEK), lambda: crew.moment[0] + timedelta(hours=1))


def consent(crew, minutes=0, purposes=(("profiling", 0),)):
    return ImportedConsent(purposes, crew.notice, "", crew.moment[0] + timedelta(minutes=minutes))


async def bring(db, crew, imports, names, block):
    async with db.tenant_transaction(crew.tenant.tenant_id) as tx:
        rows = await tx.execute(
            text(
                "INSERT INTO customers (tenant_id, id, external_id, created_at)"
                " SELECT app.tid(), app.uuid7(), n, now() FROM unnest(CAST(:names AS text[])) AS n"
                " ON CONFLICT (tenant_id, external_id) DO UPDATE SET country = NULL RETURNING id, external_id"
            ),
            {"names": list(names)},
        )
        found = [(row.id, row.external_id) for row in rows]

        async def read():
            return found

        await imports.imported(tx, crew.tenant.tenant_id, uuid4(), read, block)
    return {name: customer for customer, name in found}


async def test_everybody_of_a_file_has_consented_with_one_row_of_the_audit_log_and_nothing_told(
    runtime, crew, imports, superuser
):
    await bring(runtime, crew, imports, [f"c{number}" for number in range(6001)], consent(crew))
    rows = await superuser.fetch(_STATES)
    assert len(rows) == 6001
    assert {row["state"] for row in rows} == {"GIVEN"}
    (logged,) = await superuser.fetch("SELECT seq FROM audit_log WHERE action = 'consent.decision.imported'")
    assert {row["version"] for row in rows} == {logged["seq"]}
    assert await superuser.fetchval("SELECT count(*) FROM outbox WHERE topic LIKE 'consent.%'") == 0


async def test_the_same_file_once_more_adds_no_event_and_an_older_one_undoes_no_withdrawal(
    runtime, crew, imports, superuser
):
    customers = await bring(runtime, crew, imports, ["ann", "bob"], consent(crew))
    await bring(runtime, crew, imports, ["ann", "bob"], consent(crew))
    assert await superuser.fetchval("SELECT count(*) FROM consent_events") == 2
    older = consent(crew, minutes=1)
    crew.moment[0] += timedelta(minutes=2)
    await crew.act(W, "external:ann")
    await bring(runtime, crew, imports, ["ann", "bob"], older)
    held = {one.purpose_key: one.state for one in await crew.history.of_customer(crew.ctx, customers["ann"])}
    assert held["profiling"] == "WITHDRAWN"


async def test_a_decision_made_before_the_import_finds_its_customer(runtime, crew, imports):
    await crew.act(W, "external:ann")
    customers = await bring(runtime, crew, imports, ["ann"], None)
    held = {one.purpose_key: one.state for one in await crew.history.of_customer(crew.ctx, customers["ann"])}
    assert held["profiling"] == "WITHDRAWN"


async def test_an_imported_consent_gets_its_receipt_when_it_is_asked_for(runtime, crew, imports):
    customers = await bring(
        runtime, crew, imports, ["ann"], consent(crew, purposes=(("profiling", 0), ("marketing", 0)))
    )
    held = {one.purpose_key: one for one in await crew.history.of_customer(crew.ctx, customers["ann"])}
    assert held["profiling"].receipt_id == held["marketing"].receipt_id
    receipt = await crew.receipts.get(crew.ctx, held["profiling"].receipt_id)
    again = await crew.receipts.get(crew.ctx, held["profiling"].receipt_id)
    assert receipt == again
    assert (await crew.receipts.verify(receipt.record.decode(), receipt.signature)).valid


async def test_a_consent_from_the_future_is_refused_before_the_file_is_taken(runtime, crew, imports):
    async with runtime.tenant_transaction(crew.tenant.tenant_id) as tx:
        with pytest.raises(InvalidArgument) as fault:
            await imports.check(tx, consent(crew, minutes=90))
    assert fault.value.violations[0].field == "options.consent.collect_time"
