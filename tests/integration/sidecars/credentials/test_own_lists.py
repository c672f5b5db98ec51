"""Lists of ours in the verifier's memory: how old they may be, and what they cost the journal."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest

from cohortlens.core.errors import Unavailable
from sidecars.web3.credentials import bits
from sidecars.web3.credentials.own_lists import OwnLists
from sidecars.web3.journal.pool import JournalUnavailable
from tests.integration.sidecars.credentials.test_life import issue, item, revoke


class Counted:
    """A journal that counts its transactions, and can be out of reach."""

    def __init__(self, journal):
        self.journal, self.count, self.is_down = journal, 0, False

    @asynccontextmanager
    async def transaction(self, tenant_id):
        self.count += 1
        if self.is_down:
            raise JournalUnavailable
        async with self.journal.transaction(tenant_id) as tx:
            yield tx


@pytest.fixture
def counted(journal):
    return Counted(journal)


@pytest.fixture
def seconds():
    return [100.0]


@pytest.fixture
def lists(counted, seconds):
    return OwnLists(counted, lambda: seconds[0])


async def is_set(lists, made):
    return bits.value_at((await lists.find(UUID(bytes=made.status_list_id))).bits, made.status_index) == 1


async def test_what_another_sidecar_revoked_counts_within_a_second(desk, lists, seconds, counted):
    (made,) = await issue(desk, item())
    assert not await is_set(lists, made)
    await revoke(desk, made.credential_id)
    seconds[0] += 0.99
    assert not await is_set(lists, made)
    assert counted.count == 1
    seconds[0] += 0.01
    assert await is_set(lists, made)
    assert counted.count == 2


async def test_two_sidecars_on_one_journal_agree_after_a_second(desk, open_desk):
    other = await open_desk()
    (made,) = await issue(desk, item())
    assert await other.verify(made.credential_json) == []
    await revoke(desk, made.credential_id)
    assert await desk.verify(made.credential_json) == ["VC_REVOKED"]
    await asyncio.sleep(1.0)
    assert await other.verify(made.credential_json) == ["VC_REVOKED"]


async def test_a_change_of_this_process_counts_at_once_even_for_a_read_under_way(desk, lists, counted):
    (made,) = await issue(desk, item())
    assert not await is_set(lists, made)
    lists.changed()
    slow = asyncio.create_task(is_set(lists, made))
    await asyncio.sleep(0)
    await revoke(desk, made.credential_id)
    lists.changed()
    await slow
    assert await is_set(lists, made)


async def test_many_verifications_at_once_ask_the_journal_once(desk, lists, counted):
    (made,) = await issue(desk, item())
    assert await asyncio.gather(*(is_set(lists, made) for _ in range(50))) == [False] * 50
    assert counted.count == 1


async def test_bits_are_read_again_only_when_their_version_is_another(desk, lists, seconds):
    first, second = await issue(desk, item(), item())
    list_id = UUID(bytes=first.status_list_id)
    before = await lists.find(list_id)
    seconds[0] += 2
    assert await lists.find(list_id) is before
    await revoke(desk, second.credential_id)
    seconds[0] += 2
    assert (await lists.find(list_id)).bits != before.bits


async def test_an_old_list_is_no_answer_while_the_journal_is_away(desk, lists, seconds, counted):
    (made,) = await issue(desk, item())
    assert not await is_set(lists, made)
    counted.is_down = True
    assert not await is_set(lists, made)
    seconds[0] += 1
    with pytest.raises(Unavailable):
        await is_set(lists, made)


async def test_a_list_that_is_not_ours_is_not_kept(lists, counted):
    stranger = uuid4()
    assert await lists.find(stranger) is None
    assert await lists.find(stranger) is None
    assert counted.count == 2
