"""What the step ``quota`` does for a call that holds a key: its usage is the claim's, and a paid request is free."""

from __future__ import annotations

from uuid import UUID

import pytest

from cohortlens.core.errors import InvalidArgument, Unavailable
from cohortlens.core.idempotency import Claim, KeyScope
from cohortlens.v1 import analytics_pb2
from gateway.composition import public_table
from gateway.interceptors.keyed import takes_key
from gateway.interceptors.quota import rows_of
from tests.unit.gateway.interceptors.test_quota import ANALYTICS, PRINCIPAL, TENANT, World, nothing

ROWS = analytics_pb2.PredictRequest(customers=["c"] * 150)


def claimed(**attributes):
    return Claim(KeyScope(TENANT, PRINCIPAL.actor, ANALYTICS + "Predict", "k"), UUID(int=7), 1, **attributes)


async def test_the_usage_of_a_keyed_call_is_handed_to_its_claim_and_not_to_the_queue():
    world, claim = World(), claimed()
    await world.step(world.call(request=ROWS, claim=claim), nothing)
    event = claim.charge.event
    assert (event["units"], event["outcome"], event["principal"]) == (2, "OK", PRINCIPAL.actor)
    assert (world.quota.left, world.events) == (998, [])
    claim.charge.waive()
    assert world.quota.left == 1000


async def test_a_request_that_an_earlier_attempt_paid_for_runs_and_costs_nothing():
    world, claim = World(left=0), claimed(is_paid=True)
    ran = []

    async def runs(call):
        ran.append(call)

    await world.step(world.call(request=ROWS, claim=claim), runs)
    assert (len(ran), claim.charge, world.events) == (1, None, [])


@pytest.mark.parametrize(("fault", "units"), [(Unavailable("x"), 0), (InvalidArgument("x"), 2)])
async def test_how_an_attempt_failed_is_told_with_its_charge(fault, units):
    world, claim = World(), claimed()

    async def fails(call):
        raise fault

    with pytest.raises(type(fault)):
        await world.step(world.call(request=ROWS, claim=claim), fails)
    assert (claim.charge.event["units"], claim.charge.event["outcome"]) == (units, fault.reason)
    # Whether the units go back is for the key to say: the effect may be stored.
    assert (world.quota.left, world.events) == (998, [])


def test_no_upload_that_takes_a_key_is_weighed_by_its_rows():
    # Its units would be noted while it goes on, beside the claim.
    weighed = [
        one.name
        for one in public_table(with_reflection=False)
        if takes_key(one) and one.client_streaming and rows_of(one) is not None
    ]
    assert weighed == []
