"""Something of every kind that a tenant can own, made through the API, for others to reach for in vain."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cohortlens.cli.client import Client
from cohortlens.cli.consent import DemoWallet
from cohortlens.cli.errors import ApiError
from cohortlens.v1 import (
    analytics_pb2,
    audit_pb2,
    auth_keys_pb2,
    auth_oauth_pb2,
    auth_pb2,
    auth_users_pb2,
    common_pb2,
    consent_acts_pb2,
    consent_data_requests_pb2,
    consent_links_pb2,
    consent_notices_pb2,
    credentials_pb2,
    customers_pb2,
    drift_pb2,
    marketplace_offers_pb2,
    models_pb2,
    rewards_pb2,
)
from tests.fixtures.waiting import eventually_blocking

PAYING = ("rewards", "data_sharing")
SPEND = analytics_pb2.PREDICTION_TASK_SPEND
_CSV = b"customer,date,amount\nann,2026-01-03,10.00\nbob,2026-02-03,20.00\nann,someday,1\nbob,some day,1\n"
_JWK = {"kty": "OKP", "alg": "EdDSA", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}

PLAN_KNOWN_S = 2.0
"""A plan that was granted just now is known to every process within these seconds."""


def of_any_tenant(client: Client, name: str) -> dict[str, str]:
    """Two of each kind that needs no model; the identifier of one of them, by kind.

    Args:
        client: Logged in as an owner.
        name: Told apart by it: no two tenants invite the same address.
    """
    me = client.call(client.auth.GetMe, auth_pb2.GetMeRequest())
    owned = {"session": me.session, "user": me.user, "tenant": me.tenant, "kid": f"{name}-key"}
    for number in range(2):
        key = client.call(
            client.auth.CreateApiKey,
            auth_keys_pb2.CreateApiKeyRequest(display_name=f"{name} {number}", scopes=["customers.read"]),
        )
        account = client.call(
            client.auth.CreateServiceAccount,
            auth_keys_pb2.CreateServiceAccountRequest(
                display_name=f"{name} {number}",
                scopes=["customers.read"],
                keys=[{**_JWK, "kid": f"{name}-key"}],
            ),
        )
        oauth = client.call(
            client.auth.CreateOAuthClient,
            auth_oauth_pb2.CreateOAuthClientRequest(
                display_name=f"{name} {number}",
                authentication=auth_oauth_pb2.OAUTH_CLIENT_AUTHENTICATION_SECRET_BASIC,
                grants=[auth_oauth_pb2.OAUTH_GRANT_CLIENT_CREDENTIALS],
                scopes=["customers.read"],
            ),
        )
        invited = client.call(
            client.auth.InviteUser,
            auth_users_pb2.InviteUserRequest(email=f"{name}-{number}@invited.example", role="viewer"),
        )
    owned |= {
        "api_key": key.api_key.api_key,
        "service_account": account.service_account.service_account,
        "oauth_client": oauth.client.oauth_client,
        "invitation": invited.invitation.invitation,
        "export": eventually_blocking(lambda: _audit_export(client), PLAN_KNOWN_S),
        "input": _batch_input(client),
        "data_request": _data_request(client, name),
        "link_token": _link_token(client, name),
        "offer": _offer(client, name),
        **_consents(client, name),
        **_rewards(client, name),
    }
    return owned


def _data_request(client: Client, name: str) -> str:
    for number in range(2):
        stored = client.call(
            client.consent.CreateDataRequest,
            consent_data_requests_pb2.CreateDataRequestRequest(
                customer=f"external:{name}-{number}",
                type=consent_data_requests_pb2.DATA_REQUEST_TYPE_ACCESS,
                channel=consent_data_requests_pb2.DATA_REQUEST_CHANNEL_EMAIL,
            ),
        )
    return stored.data_request.data_request


def _link_token(client: Client, name: str) -> str:
    """The token of a person of the tenant, who followed a link."""
    asked = consent_links_pb2.CreateConsentLinkRequest(
        customer=f"external:{name}-0", page_url="https://shop.example/privacy"
    )
    secret = client.call(client.consent.CreateConsentLink, asked).url.partition("#")[2]
    opened = consent_links_pb2.OpenConsentLinkRequest(secret=secret)
    return str(client.public(client.consent.OpenConsentLink, opened).token)


def _offer(client: Client, name: str) -> str:
    """Drafts of the market: to publish one, a hundred customers must allow it."""
    spec = marketplace_offers_pb2.OfferSpec(
        title=f"How customers of {name} buy",
        dimensions=[marketplace_offers_pb2.OfferDimension(dimension="country", values=["IE"])],
        epsilon_milli=500,
    )
    spec.end_time.FromDatetime(datetime.now(UTC) + timedelta(days=60))
    for _ in range(2):
        request = marketplace_offers_pb2.CreateOfferRequest(spec=spec)
        made = client.call(client.market.CreateOffer, request)
    return str(made.offer.offer)


def _consents(client: Client, name: str) -> dict[str, str]:
    """A notice, and two people who have consented by it."""
    notice = _notice(client, name, ("profiling",))
    for number in range(2):
        given = client.call(
            client.consent.GrantConsent,
            consent_acts_pb2.GrantConsentRequest(
                customer=f"external:{name}-consenting-{number}",
                purposes=[consent_notices_pb2.PurposeVersion(purpose="profiling")],
                notice=notice,
            ),
        )
    return {"notice": notice, "receipt": given.receipt}


def _notice(client: Client, name: str, purposes: Sequence[str]) -> str:
    request = consent_notices_pb2.PublishNoticeRequest(
        name="website",
        locale="en",
        content=f"What {name} does.",
        purposes=[consent_notices_pb2.PurposeVersion(purpose=one) for one in purposes],
        controller=consent_notices_pb2.Controller(
            name=name,
            address="1 High Street",
            contact="privacy@shop.example",
            country="IE",
            storage_countries=["IE"],
            authority="Data Protection Commission",
            rights_url="https://shop.example/privacy",
        ),
    )
    return str(client.call(client.consent.PublishNotice, request).notice.notice)


def _rewards(client: Client, name: str) -> dict[str, str]:
    """What follows two consents that pay: credentials, rewards, a wallet; and a challenge that nobody used."""
    _pay(client)
    notice, customers = _notice(client, name, PAYING), [f"external:{name}-rewarded-{n}" for n in range(2)]
    for customer in customers:
        request = consent_acts_pb2.GrantConsentRequest(customer=customer, notice=notice)
        for purpose in PAYING:
            request.purposes.add(purpose=purpose)
        given = client.call(client.consent.GrantConsent, request).consents
    event = next(one.consent_event for one in given if one.purpose == "data_sharing")
    asked = credentials_pb2.GetFulfilmentRequest(event=event)

    def recorded() -> credentials_pb2.GetFulfilmentResponse | None:
        found = client.call(client.consent.GetFulfilment, asked)
        return found if found.reward.id and found.credential.state == "ISSUED" else None

    found = eventually_blocking(recorded, 90.0)
    listed = rewards_pb2.ListRewardsRequest()
    eventually_blocking(lambda: len(client.call(client.rewards.ListRewards, listed).rewards) > 1, 90.0)
    return {
        "consent_event": event,
        "credential": found.credential.id,
        "reward": found.reward.id,
        **_wallet(client, *customers),
    }


def _pay(client: Client) -> None:
    now = client.call(client.rewards.GetRewardTariff, rewards_pb2.GetRewardTariffRequest())
    tariff = rewards_pb2.RewardTariff(
        enabled=True,
        terms_version=now.terms_to_confirm,
        monthly_budget_micro=now.tariff.monthly_budget_micro,
        etag=now.tariff.etag,
    )
    client.call(client.rewards.SetRewardTariff, rewards_pb2.SetRewardTariffRequest(tariff=tariff))


def _wallet(client: Client, holder: str, asker: str) -> dict[str, str]:
    """The wallet of one customer, and the challenge of another one."""
    evm, wallet = rewards_pb2.REWARD_CHAIN_EVM, DemoWallet()
    try:
        challenges = [
            client.call(
                client.rewards.CreateWalletChallenge,
                rewards_pb2.CreateWalletChallengeRequest(
                    customer=customer, chain=evm, address=wallet.addresses["evm"]
                ),
            )
            for customer in (holder, asker)
        ]
        signature = wallet.sign("evm", challenges[0].message)
    finally:
        wallet.close()
    request = rewards_pb2.BindWalletRequest(challenge=challenges[0].challenge, signature=signature)
    bound = client.call(client.rewards.BindWallet, request).wallet
    return {"wallet": bound.wallet, "challenge": challenges[1].challenge}


def _audit_export(client: Client) -> str | None:
    try:
        return client.call(client.audit.CreateAuditExport, audit_pb2.CreateAuditExportRequest()).export.export
    except ApiError as refused:
        if refused.reason != "PLAN_FEATURE_REQUIRED":
            raise
        return None


def with_purchases(client: Client) -> dict[str, str]:
    """Customers and imports with faults for a tenant that has none."""
    for number in range(2):
        stored = client.import_transactions(
            customers_pb2.ImportOptions(file_name=f"{number}.csv"), io.BytesIO(_CSV).read
        )
        _await_import(client, getattr(stored, "import"))
    return {"import": getattr(stored, "import"), "customer": a_customer(client)}


def of_the_demo(client: Client) -> dict[str, str]:
    """What the demo tenant has, and what needs its models."""
    customer = a_customer(client)
    prediction = client.call(
        client.analytics.Predict, analytics_pb2.PredictRequest(task=SPEND, customers=[customer])
    ).predictions[0]
    for _ in range(2):
        batch = client.call(
            client.analytics.PredictBatch,
            analytics_pb2.PredictBatchRequest(task=SPEND, all_customers=True),
        ).batch
        report = client.call(
            client.analytics.StartDriftReport,
            drift_pb2.StartDriftReportRequest(reference_as_of="1997-12-31"),
        ).drift_report
    client.call(client.analytics.StartSegmentation, analytics_pb2.StartSegmentationRequest())
    runs = client.call(client.models.ListTrainingRuns, models_pb2.ListTrainingRunsRequest()).runs
    segments = client.call(client.analytics.ListSegments, analytics_pb2.ListSegmentsRequest())
    return {
        "customer": customer,
        "prediction": prediction.prediction,
        "batch": batch.batch,
        "drift_report": report.drift_report,
        "training": runs[0].run,
        "segmentation": segments.run.run,
    }


def a_customer(client: Client) -> str:
    """Identifier of a customer of the tenant."""
    page = client.call(client.customers.ListCustomers, customers_pb2.ListCustomersRequest(page_size=1))
    return page.customers[0].customer


def _batch_input(client: Client) -> str:
    schema = client.call(client.analytics.GetFeatureSchema, analytics_pb2.GetFeatureSchemaRequest())
    names = ["id", *(column.name for column in schema.columns)]
    data = io.BytesIO(f"{','.join(names)}\nlead{',0' * len(schema.columns)}\n".encode())
    return client.upload_batch_input(analytics_pb2.BatchInputOptions(), data.read).input


def _await_import(client: Client, identifier: str) -> None:
    request = customers_pb2.GetImportRequest(**{"import": identifier})

    def succeeded() -> bool:
        found = getattr(client.call(client.customers.GetImport, request), "import")
        return found.state == common_pb2.WORK_STATE_SUCCEEDED

    eventually_blocking(succeeded, 60.0)
