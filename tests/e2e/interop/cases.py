"""What every client calls: one table, each request once as gRPC knows it and once as plain HTTP knows it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

ANALYTICS = "cohortlens.v1.AnalyticsService"
CONSENT = "cohortlens.v1.ConsentService"
CUSTOMERS = "cohortlens.v1.CustomersService"
NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"
KEY = "0d9f4c1e-6c2b-4f3a-9a57-1f0c8f0b7a11"
UNARY, SERVER_STREAM, CLIENT_STREAM, BOTH_WAYS = "unary", "server_stream", "client_stream", "both_ways"
# Whatever language a browser would ask for by itself, all ask for one.
LANGUAGE = {"accept-language": "es"}


@dataclass(frozen=True)
class Http:
    """A call as curl or fetch makes it.

    Attributes:
        verb: HTTP method.
        path: Path and query.
        body: The body; None for none.
        content_type: Its media type; empty for none.
    """

    verb: str
    path: str
    body: str | None = None
    content_type: str = ""


@dataclass(frozen=True)
class Case:
    """One call.

    Attributes:
        id: Name of the case.
        service: Full name of the service.
        method: Name of the RPC.
        requests: Request messages in proto JSON.
        http: The same over HTTP; None where HTTP has no such call.
        expect: Reason of the failure; empty for an answer.
        kind: What streams.
        token: Whether the token is sent along.
        fleeting: Name of a field that differs from answer to answer; empty for none.
    """

    id: str
    service: str
    method: str
    requests: list[Any]
    http: Http | None
    expect: str = ""
    kind: str = UNARY
    token: bool = True
    fleeting: str = ""

    def headers(self, token: str) -> dict[str, str]:
        """The headers of the call."""
        return {**({"authorization": f"Bearer {token}"} if self.token else {}), **LANGUAGE}


@dataclass(frozen=True)
class Known:
    """What the cases name.

    Attributes:
        customer: A customer.
        values: Its features in proto JSON.
        batch: A batch prediction that succeeded.
    """

    customer: str
    values: list[Any]
    batch: str


def posted(path: str, request: Any) -> Http:
    """A request as the JSON body of a POST."""
    return Http("POST", path, json.dumps(request), "application/json")


def cases(known: Known) -> list[Case]:
    """The table."""
    return [*_answers(known), *_failures(known), *_streams(known)]


def _answers(known: Known) -> list[Case]:
    predict = {"task": "PREDICTION_TASK_SPEND", "vectors": [{"values": known.values}], "horizonDays": 90}
    purpose = {
        "purpose": "interop_news",
        "title": "Boletín ñandú 🦙",
        "description": "We send news by mail: 100 % of them.",
        "dpvPurpose": "https://w3id.org/dpv#DirectMarketing",
        "mechanism": "CONSENT_MECHANISM_OPT_IN",
        "dataCategories": ["https://w3id.org/dpv/pd#EmailAddress"],
        "retentionDays": 730,
        "validityDays": 365,
        "requestId": KEY,
    }
    return [
        Case(
            "read one",
            CUSTOMERS,
            "GetCustomer",
            [{"customer": known.customer}],
            Http("GET", f"/api/v1/customers/{known.customer}"),
        ),
        Case(
            "read a page",
            CUSTOMERS,
            "ListCustomers",
            [{"pageSize": 3}],
            Http("GET", "/api/v1/customers?pageSize=3"),
            # A token is sealed anew each time.
            fleeting="nextPageToken",
        ),
        Case("read doubles", ANALYTICS, "ListSegments", [{}], Http("GET", "/api/v1/segments")),
        Case("read columns", ANALYTICS, "GetFeatureSchema", [{}], Http("GET", "/api/v1/featureSchema")),
        Case(
            "predict",
            ANALYTICS,
            "Predict",
            [predict],
            posted("/api/v1/predict", predict),
            fleeting="createTime",
        ),
        # The first client to come makes it, every other one gets the first one's answer by its key.
        Case("write", CONSENT, "CreatePurpose", [purpose], posted("/api/v1/purposes", purpose)),
    ]


def _failures(known: Known) -> list[Case]:
    wrong = {
        "task": "PREDICTION_TASK_SPEND",
        "customers": [known.customer],
        "horizonDays": 4000,
        "requestId": "no uuid",
        "levelRatio": 1.5,
    }
    again = {"purpose": "another", "title": "t", "description": "d", "requestId": KEY}
    again |= {
        "dpvPurpose": "https://w3id.org/dpv#X",
        "mechanism": "CONSENT_MECHANISM_OPT_IN",
        "retentionDays": 1,
    }
    unmeant = {"task": "PREDICTION_TASK_SPEND", "customers": ["external:nobody"], "horizonDays": 90}
    return [
        Case(
            "missing",
            CUSTOMERS,
            "GetCustomer",
            [{"customer": NOBODY}],
            Http("GET", f"/api/v1/customers/{NOBODY}"),
            "RESOURCE_NOT_FOUND",
        ),
        Case("invalid", ANALYTICS, "Predict", [wrong], posted("/api/v1/predict", wrong), "FIELD_INVALID"),
        Case(
            "unmeant",
            ANALYTICS,
            "Predict",
            [unmeant],
            posted("/api/v1/predict", unmeant),
            "RESOURCE_NOT_FOUND",
        ),
        Case(
            "key of another request",
            CONSENT,
            "CreatePurpose",
            [again],
            posted("/api/v1/purposes", again),
            "IDEMPOTENCY_KEY_REUSED",
        ),
        Case(
            "without a token",
            CUSTOMERS,
            "GetCustomer",
            [{"customer": known.customer}],
            Http("GET", f"/api/v1/customers/{known.customer}"),
            "TOKEN_INVALID",
            token=False,
        ),
    ]


def _streams(known: Known) -> list[Case]:
    options = {"fileName": "orders.csv", "dryRun": True}
    spend = {"task": "PREDICTION_TASK_SPEND", "horizonDays": 90}
    good, bad = [{"values": known.values}], [{"values": [1, 2]}]
    return [
        Case(
            "download",
            ANALYTICS,
            "DownloadBatchResult",
            [{"batch": known.batch}],
            Http("GET", f"/api/v1/batchPredictions/{known.batch}/result"),
            kind=SERVER_STREAM,
        ),
        Case(
            "download of nothing",
            ANALYTICS,
            "DownloadBatchResult",
            [{"batch": NOBODY}],
            Http("GET", f"/api/v1/batchPredictions/{NOBODY}/result"),
            "RESOURCE_NOT_FOUND",
            kind=SERVER_STREAM,
        ),
        Case(
            "empty upload",
            CUSTOMERS,
            "ImportTransactions",
            [{"options": options}, {"chunk": base64.b64encode(b"").decode()}],
            Http(
                "POST",
                f"/api/v1/transactions:import?{urlencode({'fileName': 'orders.csv', 'dryRun': 'true'})}",
                "",
                "text/csv",
            ),
            "FILE_EMPTY",
            kind=CLIENT_STREAM,
        ),
        Case(
            "predictions as they are asked",
            ANALYTICS,
            "PredictStream",
            [
                {"correlationId": "one", "vectors": good, **spend},
                {"correlationId": "two", "vectors": bad, **spend},
                {"correlationId": "three", "vectors": good * 3, **spend},
            ],
            None,
            kind=BOTH_WAYS,
            fleeting="createTime",
        ),
    ]
