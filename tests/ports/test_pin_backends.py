"""The port ``Backend``: the same suite on Kubo, the Pinning Service API and Pinata, each over its own wire."""

from __future__ import annotations

import pytest

from sidecars.web3.pinning.backends import Content
from sidecars.web3.pinning.errors import (
    PinBackendDenied,
    PinBackendRefused,
    PinBackendUnavailable,
    PinCidMismatch,
)
from sidecars.web3.pinning.kubo import KuboBackend
from sidecars.web3.pinning.pinata import PinataBackend
from sidecars.web3.pinning.pinning_service import PinningServiceBackend
from sidecars.web3.pinning.unixfs import content_cid
from tests.fakes.pin_services import FakeKubo, FakePinata, FakePinningService


def _content(size=300_000, name="0f8fad5bd9cb469fa16570867728950e"):
    made = (bytes(range(256)) * (size // 256 + 1))[:size]

    async def stream():
        yield made

    return Content(name, content_cid(made), size, lambda: iter([made]), stream)


def _backend(kind, url, secret):
    if kind == "kubo":
        return KuboBackend(url, secret)
    if kind == "pinata":
        return PinataBackend(secret, url)
    return PinningServiceBackend(url, secret)


def _service(kind, tmp_path):
    if kind == "kubo":
        return FakeKubo(tmp_path / "kubo")
    return FakePinata() if kind == "pinata" else FakePinningService()


class Ends:
    """A backend and the service that it speaks to."""

    def __init__(self, kind, service, secret):
        self.service, self.secret = service, secret
        self.backend = _backend(kind, service.url, secret)

    async def keep(self, content=None):
        """Keep until it is pinned; the identifier of the service."""
        content, remote_id = content or _content(), ""
        for _ in range(6):
            kept = await self.backend.keep(content, remote_id)
            remote_id = kept.remote_id
            if kept.is_pinned:
                return remote_id
        raise AssertionError("never pinned")


@pytest.fixture(params=["kubo", "pinning-service", "pinata"])
async def ends(request, tmp_path):
    service = await _service(request.param, tmp_path).start()
    made = Ends(request.param, service, service.auth if request.param == "kubo" else "sesame")
    assert made.backend.name == request.param
    yield made
    await made.backend.close()
    await service.stop()


async def test_content_is_kept_under_our_cid(ends):
    await ends.keep()
    assert ends.service.kept() == [str(_content().cid)]


async def test_keeping_again_keeps_it_once(ends):
    first = await ends.keep()
    assert await ends.keep() == first
    assert len(ends.service.kept()) == 1


async def test_what_is_released_is_gone_and_releasing_again_is_fine(ends):
    content = _content()
    remote_id = await ends.keep(content)
    await ends.backend.release(content.name, content.cid, remote_id)
    assert ends.service.kept() == []
    await ends.backend.release(content.name, content.cid, remote_id)
    await ends.backend.release(content.name, content.cid, "")


async def test_a_pin_whose_answer_was_lost_is_found_again_and_not_made_twice(ends):
    ends.service.loses = 1
    with pytest.raises(PinBackendUnavailable):
        await ends.keep()
    await ends.keep()
    assert len(ends.service.kept()) == 1


async def test_a_pin_whose_identifier_was_lost_can_be_released(ends):
    content = _content()
    await ends.keep(content)
    await ends.backend.release(content.name, content.cid, "")
    assert ends.service.kept() == []


async def test_another_cid_is_refused_and_its_pin_removed(ends):
    ends.service.is_wrong = True
    with pytest.raises(PinCidMismatch):
        await ends.keep()
    assert ends.service.kept() == []


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_are_told_apart(ends, status):
    ends.service.faults = [status]
    with pytest.raises(PinBackendDenied):
        await ends.keep()


async def test_a_busy_service_says_when_to_come_back(ends):
    ends.service.faults = [(429, {"Retry-After": "17"})]
    with pytest.raises(PinBackendUnavailable) as refused:
        await ends.keep()
    assert refused.value.retry_delay_s == 17


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_failing_service_is_asked_again_later(ends, status):
    ends.service.faults = [status]
    with pytest.raises(PinBackendUnavailable):
        await ends.keep()
    await ends.keep()


async def test_a_request_refused_for_good_is_told_apart(ends):
    ends.service.faults = [422]
    with pytest.raises(PinBackendRefused):
        await ends.keep()


async def test_a_service_that_is_down_is_unavailable(ends):
    await ends.service.stop()
    with pytest.raises(PinBackendUnavailable):
        await ends.keep()


async def test_no_fault_shows_a_secret(ends):
    for status in (401, 429, 500, 422):
        ends.service.faults = [status]
        with pytest.raises(Exception) as failed:  # noqa: PT011 - the kinds are the tests' above
            await ends.keep()
        assert ends.secret not in str(failed.value)
        assert ends.service.url not in str(failed.value)


async def test_a_failed_request_is_made_anew():
    service = await FakePinningService().start()
    backend = PinningServiceBackend(service.url, "sesame")
    service.states = ["failed"]
    kept = await backend.keep(_content(), "")
    assert (kept.is_pinned, kept.remote_id, kept.reason) == (False, "", "PIN_BACKEND_FAILED")
    assert service.kept() == []
    service.states = ["pinned"]
    assert (await backend.keep(_content(), kept.remote_id)).is_pinned
    await backend.close()
    await service.stop()


async def test_a_redirection_is_not_followed_with_our_token():
    service = await FakePinningService().start()
    other = await FakePinningService().start()
    service.faults = [(307, {"Location": other.url + "/pins"})]
    backend = PinningServiceBackend(service.url, "sesame")
    with pytest.raises(PinBackendRefused):
        await backend.keep(_content(), "")
    assert other.seen == []
    for one in (backend.close, service.stop, other.stop):
        await one()
