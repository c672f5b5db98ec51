"""The composition root: everything opens against real servers, and closes."""

from __future__ import annotations

import base64

import pytest

from cohortlens.bootstrap.services import Services
from cohortlens.core.config import Secret, Url
from cohortlens.core.errors import FailedPrecondition, Unavailable
from cohortlens.core.settings import CoreConfig
from gateway.microbatch.batcher import MicroBatcher

KEK = Secret(base64.b64encode(b"k" * 32).decode())


def config(tmp_path, url, redis_url):
    return CoreConfig(
        environment="test", data_dir=tmp_path, database_url=Url(url), redis_url=Url(redis_url), kek=KEK
    )


async def test_services_open_wrap_the_inference_client_and_close(
    tmp_path, database, postgres_urls, redis_url
):
    services = await Services.open(
        config(tmp_path, postgres_urls.runtime, redis_url), wrap_inference=MicroBatcher
    )
    try:
        await services.db.ping()
        assert isinstance(services.inference, MicroBatcher)
        assert await services.inference.live_replicas() == {}
    finally:
        await services.close()


async def test_a_role_that_sees_every_tenant_is_refused(tmp_path, database, postgres_urls, redis_url):
    with pytest.raises(FailedPrecondition) as refused:
        await Services.open(config(tmp_path, postgres_urls.superuser, redis_url))
    assert refused.value.reason == "DATABASE_ROLE_UNSAFE"


async def test_an_unreachable_database_is_told_as_such(tmp_path, redis_url):
    with pytest.raises(Unavailable) as refused:
        await Services.open(config(tmp_path, "postgresql://cl_app:x@127.0.0.1:1/none", redis_url))
    assert refused.value.reason == "DATABASE_UNAVAILABLE"
