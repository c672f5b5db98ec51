"""Services are only opened at addresses that keep the content and the credentials private on the way."""

from __future__ import annotations

import pytest

from cohortlens.core.config import SettingsInvalid, read
from sidecars.web3.config import Web3Config
from sidecars.web3.pinning.services import open_services, service_faults


def _config(**settings):
    return read(
        Web3Config, {f"COHORTLENS_WEB3_IPFS_{name.upper()}": value for name, value in settings.items()}
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://ipfs.example:5001",
        "https://ipfs.example/project",
        "http://127.0.0.1:5001",
        "http://localhost:5001",
        "http://[::1]:5001",
    ],
)
def test_https_or_loopback_is_fine(url):
    assert service_faults(_config(url=url, service_url=url, pinata_url=url)) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://ipfs.example:5001",
        "http://10.0.0.7:5001",
        "ftp://ipfs.example",
        "https://id:sesame@ipfs.example",
        "https://ipfs.example?token=sesame",
        "https://ipfs.example#sesame",
        "https://",
        "https://ipfs.example:99999",
    ],
)
@pytest.mark.parametrize("name", ["url", "service_url", "pinata_url"])
def test_any_other_address_is_refused_by_the_name_of_its_setting_alone(name, url):
    with pytest.raises(SettingsInvalid) as refused:
        open_services(_config(backends="embedded", **{name: url}))
    assert len(refused.value.faults) == 1
    assert f"COHORTLENS_WEB3_IPFS_{name.upper()}:" in str(refused.value)
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize("auth", ["sesame", ":sesame", "id:"])
def test_half_of_a_name_and_secret_is_refused_without_showing_it(auth):
    with pytest.raises(SettingsInvalid, match="expected id:secret") as refused:
        open_services(_config(auth=auth))
    assert "sesame" not in str(refused.value)


def test_the_embedded_store_is_no_service():
    assert open_services(_config(backends="embedded")) == []


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"backends": "kubo"}, ["IPFS_URL"]),
        ({"backends": "embedded, pinata"}, ["IPFS_PINATA_TOKEN"]),
        (
            {"backends": "pinning-service"},
            ["IPFS_SERVICE_URL", "IPFS_SERVICE_TOKEN", "IPFS_BACKENDS=pinning-service"],
        ),
        ({"backends": "pinning-service,kubo"}, ["IPFS_URL", "IPFS_SERVICE_URL", "IPFS_SERVICE_TOKEN"]),
    ],
)
def test_what_a_service_lacks_is_told_in_one_go(settings, missing):
    faults = service_faults(_config(**settings))
    assert all("PIN_BACKEND_INCOMPLETE" in fault for fault in faults)
    assert sorted(
        fault.split()[0].removeprefix("COHORTLENS_WEB3_").rstrip(":") for fault in faults
    ) == sorted(missing)


def test_an_unknown_service_is_refused_with_the_known_ones():
    (fault,) = service_faults(_config(backends="embedded,dropbox"))
    assert "dropbox is none of embedded, kubo, pinning-service, pinata" in fault
