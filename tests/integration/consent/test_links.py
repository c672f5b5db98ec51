"""Links of persons: one use, half an hour, their own data and nobody else's."""

from __future__ import annotations

import pytest

from cohortlens.bootstrap.rights import open_rights
from cohortlens.consent.data_requests.models import DataRequestMissing, DataRequestType
from cohortlens.consent.links import LinkTokenInvalid
from cohortlens.core.errors import InvalidArgument
from cohortlens.core.sealing import Keyring
from cohortlens.core.tenant_keys import TenantKeys

PAGE = "https://shop.example/privacy"


@pytest.fixture
def rights(database, redis_client, tmp_path):
    return open_rights(database, redis_client, TenantKeys(Keyring(b"k" * 32)), tmp_path)


async def secret_of(rights, tenant, customer="external:a"):
    link = await rights.links.create(tenant.context(), customer, PAGE)
    page, _, secret = link.url.partition("#")
    assert page == PAGE
    return secret


async def test_a_link_opens_once_for_a_token_that_names_the_person(rights, tenants):
    secret = await secret_of(rights, tenants[0])
    opened = await rights.links.open(secret)
    holder = await rights.links.holder(opened.token)
    assert holder.tenant_id == tenants[0].tenant_id
    with pytest.raises(LinkTokenInvalid):
        await rights.links.open(secret)
    with pytest.raises(LinkTokenInvalid):
        await rights.links.holder(secret)


async def test_neither_secret_nor_token_is_stored(rights, tenants, superuser):
    secret = await secret_of(rights, tenants[0])
    opened = await rights.links.open(secret)
    row = await superuser.fetchval("SELECT l::text FROM consent_links l")
    for shown in (secret, opened.token):
        assert shown not in row
        assert shown.encode().hex() not in row


@pytest.mark.parametrize("column", ["expires_at", "token_expires_at"])
async def test_what_is_over_opens_nothing(rights, tenants, superuser, column):
    secret = await secret_of(rights, tenants[0])
    tried = rights.links.open(secret)
    if column == "token_expires_at":
        tried = rights.links.holder((await tried).token)
    await superuser.execute(f"UPDATE consent_links SET {column} = now() - interval '1 second'")
    with pytest.raises(LinkTokenInvalid):
        await tried


async def test_links_that_are_over_are_deleted_and_the_others_stay(rights, tenants, superuser):
    await secret_of(rights, tenants[0])
    await secret_of(rights, tenants[1])
    await superuser.execute(
        "UPDATE consent_links SET expires_at = now() - interval '1 day' WHERE tenant_id = $1",
        tenants[0].tenant_id,
    )
    assert await rights.upkeep.run() == 1
    assert await superuser.fetchval("SELECT tenant_id FROM consent_links") == tenants[1].tenant_id


async def test_a_person_asks_for_their_own_data_and_sees_nobody_elses(rights, tenants):
    first, second = [
        await rights.links.holder((await rights.links.open(await secret_of(rights, tenants[0], name))).token)
        for name in ("external:a", "external:b")
    ]
    own = await rights.requests.create_own(
        first.tenant_id, first.identity_id, first.link_id, DataRequestType.ACCESS
    )
    assert (own.state, own.channel, own.created_by) == ("VERIFIED", "LINK", f"customer_link:{first.link_id}")
    found = await rights.requests.page_own(first.tenant_id, first.identity_id, 10)
    assert [one.request_id for one in found] == [own.request_id]
    assert await rights.requests.page_own(second.tenant_id, second.identity_id, 10) == []
    with pytest.raises(DataRequestMissing):
        await rights.requests.content(second.tenant_id, own.request_id, second.identity_id)


@pytest.mark.parametrize(
    "page",
    [
        "http://shop.example/privacy",
        "https://shop.example/#part",
        "javascript:alert(1)",
        "https://user@shop.example",
        "https://",
        "https://shop.example/ x",
    ],
)
async def test_a_secret_is_sent_to_no_page_that_could_leak_it(rights, tenants, page):
    with pytest.raises(InvalidArgument) as refused:
        await rights.links.create(tenants[0].context(), "external:a", page)
    assert refused.value.violations[0].field == "page_url"
