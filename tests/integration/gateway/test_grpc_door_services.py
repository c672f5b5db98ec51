"""The real composition over real PostgreSQL and Valkey, called through the gRPC port."""

import asyncio
import contextlib
import http.client
import json

import grpc
import pyotp
import pytest

from cohortlens.cli.errors import from_rpc_error
from cohortlens.core.errors import Unavailable
from cohortlens.identity.access import jws
from cohortlens.identity.access.signing_keys import SigningKeys
from cohortlens.v1 import analytics_pb2, analytics_pb2_grpc, auth_login_pb2, auth_pb2, auth_pb2_grpc
from gateway import composition
from gateway.config import GatewayConfig
from tests.integration.gateway.conftest import core_config

BOUND_S = 20
PASSWORD = "three blind mice ran 42"


async def register(channel, mailbox, email):
    """The first session of a new tenant's owner, by the mailed link."""
    auth = auth_pb2_grpc.AuthServiceStub(channel)
    wanted = auth_pb2.RegisterTenantRequest(
        display_name="South", email=email, password=PASSWORD, accept_terms_version="2026-01"
    )
    await auth.RegisterTenant(wanted, timeout=BOUND_S)
    token = (await mailbox.newest(email)).values["token"]
    request = auth_login_pb2.VerifyEmailRequest(token=token)
    return await auth.VerifyEmail(request, timeout=BOUND_S)


async def log_in(channel, mailbox):
    """The access token of a new tenant's owner."""
    return (await register(channel, mailbox, "a@south.example")).tokens.access_token


def over_http(port, path, token):
    """Status, challenge and body of a GET."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)) as connection:
        connection.request("GET", path, headers={"authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, answer.getheader("www-authenticate"), json.loads(answer.read())


async def fault_of(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_tenant_registers_logs_in_and_is_known(channel, mailbox):
    auth = auth_pb2_grpc.AuthServiceStub(channel)
    await register(channel, mailbox, "a@north.example")
    session = await auth.CreateSession(
        auth_pb2.CreateSessionRequest(email="a@north.example", password=PASSWORD), timeout=BOUND_S
    )
    metadata = (("authorization", f"Bearer {session.tokens.access_token}"),)
    me = await auth.GetMe(auth_pb2.GetMeRequest(), metadata=metadata, timeout=BOUND_S)
    assert session.tenant in str(me)
    # Known, allowed, and nothing trained yet: the fault comes from the slice, through the whole chain.
    analytics = analytics_pb2_grpc.AnalyticsServiceStub(channel)
    schema = await analytics.GetFeatureSchema(
        analytics_pb2.GetFeatureSchemaRequest(), metadata=metadata, timeout=BOUND_S
    )
    assert len(schema.columns) > 1
    vector = analytics_pb2.FeatureVector(values=[0.0] * len(schema.columns))
    fault = await fault_of(
        analytics.Predict(
            analytics_pb2.PredictRequest(task=1, vectors=[vector]), metadata=metadata, timeout=BOUND_S
        )
    )
    assert fault.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_a_second_step_is_finished_with_the_token_of_the_refusal(channel, mailbox):
    auth = auth_pb2_grpc.AuthServiceStub(channel)
    session = await register(channel, mailbox, "a@west.example")
    metadata = (("authorization", f"Bearer {session.tokens.access_token}"),)
    setup = await auth.BeginTotp(
        auth_login_pb2.BeginTotpRequest(password=PASSWORD), metadata=metadata, timeout=BOUND_S
    )
    first = auth_login_pb2.ConfirmTotpRequest(code=pyotp.TOTP(setup.secret).now())
    codes = (await auth.ConfirmTotp(first, metadata=metadata, timeout=BOUND_S)).recovery_codes
    by_password = auth_pb2.CreateSessionRequest(email="a@west.example", password=PASSWORD)
    fault = await fault_of(auth.CreateSession(by_password, timeout=BOUND_S))
    assert fault.code() == grpc.StatusCode.UNAUTHENTICATED
    info = from_rpc_error(fault)
    assert (info.reason, info.metadata["methods"]) == ("MFA_REQUIRED", "totp,recovery_code")
    by_code = auth_pb2.CreateSessionRequest(mfa_token=info.metadata["mfa_token"], totp=codes[0])
    assert (await auth.CreateSession(by_code, timeout=BOUND_S)).tokens.access_token


async def test_nobody_without_a_token_gets_past_authentication(channel):
    analytics = analytics_pb2_grpc.AnalyticsServiceStub(channel)
    for metadata in ((), (("authorization", "Bearer forged.token.here"),)):
        call = analytics.ListSegments(analytics_pb2.ListSegmentsRequest(), metadata=metadata, timeout=BOUND_S)
        assert (await fault_of(call)).code() == grpc.StatusCode.UNAUTHENTICATED


async def test_an_expired_token_is_refused_as_such_at_both_doors(gateway, channel, database, mailbox):
    token = await log_in(channel, mailbox)
    # What the same session would hold an hour later: only the times differ, and the real key signs it.
    key = await SigningKeys(database, bytes(range(32))).active()
    claims = jws.claims_of(jws.parse(token), key.private.public_key())
    expired = jws.sign(
        key.kid, key.private, claims | {"iat": claims["iat"] - 3600, "exp": claims["exp"] - 3600}
    )
    auth = auth_pb2_grpc.AuthServiceStub(channel)
    good, old = ((("authorization", f"Bearer {one}"),) for one in (token, expired))
    assert (await auth.GetMe(auth_pb2.GetMeRequest(), metadata=good, timeout=BOUND_S)).role == "owner"
    fault = await fault_of(auth.GetMe(auth_pb2.GetMeRequest(), metadata=old, timeout=BOUND_S))
    assert fault.code() == grpc.StatusCode.UNAUTHENTICATED
    assert "refresh the session" in fault.details()
    assert (await asyncio.to_thread(over_http, gateway.http_port, "/api/v1/users/me", token))[0] == 200
    status, challenge, body = await asyncio.to_thread(
        over_http, gateway.http_port, "/api/v1/users/me", expired
    )
    assert (status, body["details"][0]["reason"]) == (401, "TOKEN_EXPIRED")
    assert body["message"] == fault.details()
    assert challenge == 'Bearer realm="cohortlens", error="invalid_token"'


async def test_an_unreachable_database_is_waited_for_by_name(tmp_path):
    core = core_config(tmp_path, "postgresql://nobody:secret@127.0.0.1:1/none", "redis://127.0.0.1:1")
    with pytest.raises(Unavailable) as caught:
        await composition.compose(core, GatewayConfig())
    assert caught.value.reason == "DATABASE_UNAVAILABLE"
    assert "secret" not in caught.value.message


async def test_a_database_without_its_schema_is_waited_for_by_name(tmp_path, postgres_urls, superuser):
    await superuser.execute("DROP DATABASE IF EXISTS gateway_empty")
    await superuser.execute("CREATE DATABASE gateway_empty")
    empty = postgres_urls.runtime.rpartition("/")[0] + "/gateway_empty"
    with pytest.raises(Unavailable) as caught:
        await composition.compose(core_config(tmp_path, empty, "redis://127.0.0.1:1"), GatewayConfig())
    assert caught.value.reason == "DATABASE_NOT_MIGRATED"
    assert "cohortlens migrate" in caught.value.message
