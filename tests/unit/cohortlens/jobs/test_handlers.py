from uuid import uuid4

import pytest

from cohortlens.analytics.models import SEGMENTATION_REQUESTED, TRAINING_REQUESTED
from cohortlens.core.ids import EventId, TenantId, uuid7
from cohortlens.core.outbox import MAX_ATTEMPTS, Event
from cohortlens.customers.models import IMPORT_REQUESTED, TRANSACTIONS_IMPORTED
from cohortlens.jobs.handlers import HANDLERS


@pytest.mark.parametrize(
    "topic", [IMPORT_REQUESTED, TRANSACTIONS_IMPORTED, TRAINING_REQUESTED, SEGMENTATION_REQUESTED]
)
def test_every_topic_that_the_slices_record_has_a_handler(topic):
    assert topic in HANDLERS


def test_no_handler_counts_on_more_attempts_than_the_outbox_gives():
    assert all(1 <= handler.max_attempts <= MAX_ATTEMPTS for handler in HANDLERS.values())
    assert all(handler.concurrency >= 1 for handler in HANDLERS.values())


@pytest.mark.parametrize("topic", [IMPORT_REQUESTED, TRAINING_REQUESTED, SEGMENTATION_REQUESTED])
def test_work_that_a_caller_polls_ends_visibly_when_it_is_given_up(topic):
    assert HANDLERS[topic].on_dead is not None


async def test_an_import_event_runs_the_import_of_its_tenant():
    tenant, import_id, calls = TenantId(uuid7()), uuid4(), []

    class Customers:
        async def run_import(self, *arguments):
            calls.append(arguments)

    class Services:
        customers = Customers()

    event = Event(
        tenant, EventId(uuid7()), IMPORT_REQUESTED, "imports", {"import_id": str(import_id)}, 1, "w", 1
    )
    await HANDLERS[IMPORT_REQUESTED].run(Services(), event)
    assert calls == [(tenant, import_id)]
