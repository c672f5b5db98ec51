"""Two tenants: every RPC that takes an identifier answers a foreign one exactly like a missing one."""

import io

import pytest

from cohortlens.client.errors import ApiError
from cohortlens.core.ids import uuid7
from cohortlens.v1 import (
    analytics_pb2,
    audit_pb2,
    auth_pb2,
    auth_sessions_pb2,
    auth_users_pb2,
    customers_pb2,
    models_pb2,
)

SPEND = analytics_pb2.PREDICTION_TASK_SPEND


@pytest.fixture(scope="module")
def owned(demo):
    """Identifiers of the demo tenant, by kind."""
    page = demo.call(demo.customers.ListCustomers, customers_pb2.ListCustomersRequest(page_size=1))
    customer = page.customers[0].customer
    prediction = demo.call(
        demo.analytics.Predict, analytics_pb2.PredictRequest(task=SPEND, customers=[customer])
    ).predictions[0]
    imports = demo.call(demo.customers.ListImports, customers_pb2.ListImportsRequest()).imports
    runs = demo.call(demo.models.ListTrainingRuns, models_pb2.ListTrainingRunsRequest()).runs
    segments = demo.call(demo.analytics.ListSegments, analytics_pb2.ListSegmentsRequest())
    me = demo.call(demo.auth.GetMe, auth_pb2.GetMeRequest())
    return {
        "customer": customer,
        "external": "external:4",
        "prediction": prediction.prediction,
        "import": getattr(imports[0], "import"),
        "training": runs[0].run,
        "segmentation": segments.run.run,
        "session": me.session,
        "tenant": me.tenant,
        "user": me.user,
        "invitation": demo.call(
            demo.auth.InviteUser, auth_users_pb2.InviteUserRequest(email="eve@demo.example", role="viewer")
        ).invitation.invitation,
        "batch": demo.call(
            demo.analytics.PredictBatch,
            analytics_pb2.PredictBatchRequest(task=SPEND, all_customers=True, request_id="foreign"),
        ).batch.batch,
        "input": _batch_input(demo),
        "export": demo.call(
            demo.audit.CreateAuditExport, audit_pb2.CreateAuditExportRequest(to_seq=1)
        ).export.export,
    }


def _batch_input(demo):
    """An uploaded input of one row."""
    schema = demo.call(demo.analytics.GetFeatureSchema, analytics_pb2.GetFeatureSchemaRequest())
    names = ["id", *(column.name for column in schema.columns)]
    data = io.BytesIO(f"{','.join(names)}\nlead{',0' * len(schema.columns)}\n".encode())
    return demo.upload_batch_input(analytics_pb2.BatchInputOptions(), data.read).input


def _cases(client):
    """Method, a request built from an identifier, the kind of identifier."""
    a, c, m = client.analytics, client.customers, client.models
    return {
        "GetCustomer": (c.GetCustomer, lambda i: customers_pb2.GetCustomerRequest(customer=i), "customer"),
        "DeleteCustomer": (
            c.DeleteCustomer,
            lambda i: customers_pb2.DeleteCustomerRequest(customer=i),
            "customer",
        ),
        "GetImport": (c.GetImport, lambda i: customers_pb2.GetImportRequest(**{"import": i}), "import"),
        "ListImportFaults": (
            c.ListImportFaults,
            lambda i: customers_pb2.ListImportFaultsRequest(**{"import": i}),
            "import",
        ),
        "Predict": (a.Predict, lambda i: analytics_pb2.PredictRequest(task=SPEND, customers=[i]), "customer"),
        "Segment": (a.Segment, lambda i: analytics_pb2.SegmentRequest(customers=[i]), "customer"),
        "Explain": (a.Explain, lambda i: analytics_pb2.ExplainRequest(task=SPEND, customers=[i]), "customer"),
        "GetPrediction": (
            a.GetPrediction,
            lambda i: analytics_pb2.GetPredictionRequest(prediction=i),
            "prediction",
        ),
        "ListPredictions": (
            a.ListPredictions,
            lambda i: analytics_pb2.ListPredictionsRequest(customer=i),
            "customer",
        ),
        "GetSegmentationRun": (
            a.GetSegmentationRun,
            lambda i: analytics_pb2.GetSegmentationRunRequest(run=i),
            "segmentation",
        ),
        "ListSegments": (a.ListSegments, lambda i: analytics_pb2.ListSegmentsRequest(run=i), "segmentation"),
        "ListSegmentMembers": (
            a.ListSegmentMembers,
            lambda i: analytics_pb2.ListSegmentMembersRequest(segment="s1", run=i),
            "segmentation",
        ),
        "PredictBatch": (
            a.PredictBatch,
            lambda i: analytics_pb2.PredictBatchRequest(task=SPEND, input=i),
            "input",
        ),
        "GetBatchPrediction": (
            a.GetBatchPrediction,
            lambda i: analytics_pb2.GetBatchPredictionRequest(batch=i),
            "batch",
        ),
        "CancelBatchPrediction": (
            a.CancelBatchPrediction,
            lambda i: analytics_pb2.CancelBatchPredictionRequest(batch=i),
            "batch",
        ),
        "DownloadBatchResult": (
            # The stream itself ends in the error, not the call that opens it.
            lambda request, **options: list(a.DownloadBatchResult(request, **options)),
            lambda i: analytics_pb2.DownloadBatchResultRequest(batch=i),
            "batch",
        ),
        "GetAuditExport": (
            client.audit.GetAuditExport,
            lambda i: audit_pb2.GetAuditExportRequest(export=i),
            "export",
        ),
        "DownloadAuditExport": (
            lambda request, **options: list(client.audit.DownloadAuditExport(request, **options)),
            lambda i: audit_pb2.DownloadAuditExportRequest(export=i),
            "export",
        ),
        "GetFeatures": (a.GetFeatures, lambda i: analytics_pb2.GetFeaturesRequest(customer=i), "customer"),
        "GetTrainingRun": (m.GetTrainingRun, lambda i: models_pb2.GetTrainingRunRequest(run=i), "training"),
        "GetUser": (client.auth.GetUser, lambda i: auth_users_pb2.GetUserRequest(user=i), "user"),
        "UpdateUser": (
            client.auth.UpdateUser,
            lambda i: auth_users_pb2.UpdateUserRequest(user=i, role="viewer"),
            "user",
        ),
        "DeleteUser": (client.auth.DeleteUser, lambda i: auth_users_pb2.DeleteUserRequest(user=i), "user"),
        "RevokeInvitation": (
            client.auth.RevokeInvitation,
            lambda i: auth_users_pb2.RevokeInvitationRequest(invitation=i),
            "invitation",
        ),
        "RevokeUserSessions": (
            client.auth.RevokeUserSessions,
            lambda i: auth_sessions_pb2.RevokeUserSessionsRequest(user=i),
            "user",
        ),
        "DeleteSession": (
            client.auth.DeleteSession,
            lambda i: auth_pb2.DeleteSessionRequest(session=i),
            "session",
        ),
        "SwitchTenant": (
            client.auth.SwitchTenant,
            lambda i: auth_sessions_pb2.SwitchTenantRequest(tenant=i),
            "tenant",
        ),
    }


NAMES = [
    "GetCustomer", "DeleteCustomer", "GetImport", "ListImportFaults", "Predict", "Segment", "Explain",
    "GetPrediction", "ListPredictions", "GetSegmentationRun", "ListSegments", "ListSegmentMembers", "GetFeatures",
    "GetTrainingRun", "DeleteSession", "PredictBatch", "GetBatchPrediction", "CancelBatchPrediction",
    "DownloadBatchResult", "GetUser", "UpdateUser", "DeleteUser", "RevokeInvitation",
    "RevokeUserSessions", "GetAuditExport", "DownloadAuditExport",
]  # fmt: skip


def _answer(client, method, request, identifier):
    """The error as a caller sees it, the identifier it named and the request id taken out."""
    with pytest.raises(ApiError) as caught:
        client.call(method, request(identifier))
    error = caught.value
    return (
        error.code,
        error.reason,
        *(str(part).replace(identifier, "ID") for part in (error.message, error.metadata, error.violations)),
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_foreign_identifier_answers_like_a_missing_one(stranger, owned, name):
    method, request, kind = _cases(stranger)[name]
    foreign = _answer(stranger, method, request, owned[kind])
    missing = _answer(stranger, method, request, str(uuid7()))
    assert foreign == missing
    # With no model of its own the stranger is told so first, for any identifier.
    assert foreign[0] in {"NOT_FOUND", "FAILED_PRECONDITION"}


def test_every_method_with_an_identifier_is_in_the_table():
    identifying = {
        method.name
        for file in (audit_pb2, auth_pb2, customers_pb2, analytics_pb2, models_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        for field in method.input_type.fields
        if field.name
        in {
            "customer",
            "customers",
            "import",
            "prediction",
            "run",
            "session",
            "user",
            "transfer_to",
            "invitation",
            "batch",
            "input",
            "export",
        }
    }
    assert identifying == set(NAMES)


def test_the_customer_of_another_tenant_is_still_there_afterwards(demo, owned):
    request = customers_pb2.GetCustomerRequest(customer=owned["customer"])
    assert demo.call(demo.customers.GetCustomer, request).customer.customer == owned["customer"]


def test_lists_of_a_new_tenant_are_empty(stranger):
    assert (
        stranger.call(stranger.customers.ListCustomers, customers_pb2.ListCustomersRequest()).total_size == 0
    )
    assert not stranger.call(stranger.customers.ListImports, customers_pb2.ListImportsRequest()).imports
    assert not stranger.call(
        stranger.analytics.ListPredictions, analytics_pb2.ListPredictionsRequest()
    ).predictions
    assert not stranger.call(stranger.models.ListTrainingRuns, models_pb2.ListTrainingRunsRequest()).runs


def test_a_page_token_of_another_tenant_is_refused(demo, stranger):
    page = demo.call(demo.customers.ListCustomers, customers_pb2.ListCustomersRequest(page_size=1))
    assert page.next_page_token
    request = customers_pb2.ListCustomersRequest(page_size=1, page_token=page.next_page_token)
    with pytest.raises(ApiError) as caught:
        stranger.call(stranger.customers.ListCustomers, request)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"
