"""What the OpenAPI document promises holds on a running stack, with requests that schemathesis makes of it."""

import re

from tests.e2e.conftest import PASSWORD
from tests.e2e.openapi.running import schemathesis

# One of each kind: lists, a search by body, a change with a condition, a form, a stream, an upload, other doors.
COVERED = (
    "AuthService_ListUsers",
    "AuthService_UpdateTenant",
    "AuthService_IntrospectToken",
    "AnalyticsService_Predict",
    "AnalyticsService_QueryCohorts",
    "ConsentService_BatchCheckConsent",
    "ConsentService_GrantConsent",
    "MarketplaceService_UpdateOffer",
    "CustomersService_ListCustomers",
    "GraphQL_Execute",
    "Health_Check",
)


def test_every_example_is_answered_and_made_up_requests_too_as_the_document_says(stack):
    email = "owner@schemathesis.example"
    stack.new_tenant(email).close()
    # Its wrong passwords would make the owner wait; `make schemathesis` does, and tries it too.
    options = ("--phases", "examples", "--exclude-operation-id", "AuthService_CreateSession")
    examples = schemathesis(stack.http, email, PASSWORD, *options, timeout_s=300)
    assert int(re.search(r"(\d+) generated", examples)[1]) > 150
    chosen = [part for name in COVERED for part in ("--include-operation-id", name)]
    covered = schemathesis(stack.http, email, PASSWORD, "--phases", "coverage", *chosen, timeout_s=300)
    assert int(re.search(r"(\d+) generated", covered)[1]) > 300
