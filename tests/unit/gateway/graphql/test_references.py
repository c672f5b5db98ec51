"""References: what a list names is fetched in one call, whoever may not read it gets the rest."""

from uuid import UUID

from cohortlens.core.errors import PermissionDenied
from cohortlens.v1 import analytics_pb2, customers_pb2
from tests.unit.gateway.graphql.door import ask, reason

DOCUMENT = "{ predictions { predictions { value customerDetails { externalId } } } }"
NAMES = [str(UUID(int=number)) for number in range(1, 41)]


def predictions(names):
    made = [analytics_pb2.Prediction(customer=name, value=1.5) for name in names]
    return analytics_pb2.ListPredictionsResponse(predictions=made)


async def known(request, call):
    """All customers but the last of ``NAMES``."""
    found = [
        customers_pb2.Customer(customer=name, external_id=f"e{name[-2:]}")
        for name in request.customers
        if name != NAMES[-1]
    ]
    return customers_pb2.BatchGetCustomersResponse(customers=found)


async def test_a_list_of_references_is_one_call(door):
    client, servicer = door
    servicer.script |= {"ListPredictions": predictions([*NAMES, NAMES[0], ""]), "BatchGetCustomers": known}
    answer = await ask(client, DOCUMENT)
    assert [name for name, _ in servicer.asked] == ["ListPredictions", "BatchGetCustomers"]
    assert list(servicer.asked[1][1].customers) == NAMES
    shown = [one["customerDetails"] for one in answer.json["data"]["predictions"]["predictions"]]
    assert shown[0] == shown[40] == {"externalId": f"e{NAMES[0][-2:]}"}
    assert shown[39] is None
    assert shown[41] is None
    assert len({one["externalId"] for one in shown[:39]}) == 39


async def test_a_reference_is_a_call_with_rights_of_its_own(door):
    client, servicer = door
    servicer.script |= {
        "ListPredictions": predictions(NAMES[:3]),
        "BatchGetCustomers": PermissionDenied("needs customers.read", reason="SCOPE_MISSING"),
    }
    answer = await ask(client, DOCUMENT)
    assert answer.status == 200
    shown = answer.json["data"]["predictions"]["predictions"]
    assert shown == [{"value": 1.5, "customerDetails": None}] * 3
    assert reason(answer) == "SCOPE_MISSING"
    assert [one["path"] for one in answer.json["errors"]] == [
        ["predictions", "predictions", index, "customerDetails"] for index in range(3)
    ]
    assert len(servicer.asked) == 2


async def test_nothing_is_fetched_that_nobody_asked_for(door):
    client, servicer = door
    servicer.script["ListPredictions"] = predictions(NAMES)
    await ask(client, "{ predictions { predictions { customer } } }")
    assert [name for name, _ in servicer.asked] == ["ListPredictions"]
