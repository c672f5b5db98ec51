"""Settings of TLS to the workers: what cannot work is said before anything starts."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization

from cohortlens.core.config import SettingsInvalid, read
from cohortlens.core.settings import CoreConfig
from cohortlens.core.tls import MutualTls
from tests.fixtures.certificates import CALLER, WORKER, Authority
from workers.config import WorkerConfig


def environment(tls: MutualTls | None, **more):
    files = {} if tls is None else {"CA": tls.authority, "CERT": tls.certificate, "KEY": tls.key}
    return (
        {f"COHORTLENS_WORKER_TLS_{name}": str(path) for name, path in files.items()}
        | {"COHORTLENS_REDIS_URL": "redis://127.0.0.1/0"}
        | more
    )


def faults(environ):
    return read(CoreConfig, environ).faults()


@pytest.fixture
def tls(tmp_path):
    return Authority(tmp_path, "ours").issue(CALLER)


def test_no_file_means_no_tls():
    assert faults(environment(None)) == []
    assert read(CoreConfig, environment(None)).worker_tls() is None


def test_three_files_that_fit_are_taken(tls):
    assert faults(environment(tls)) == []
    assert read(CoreConfig, environment(tls)).worker_tls() == tls


def test_some_files_without_the_others_name_the_missing_ones(tls):
    environ = environment(tls)
    del environ["COHORTLENS_WORKER_TLS_KEY"]
    (fault,) = faults(environ)
    assert fault.startswith("COHORTLENS_WORKER_TLS_KEY: not set")
    with pytest.raises(SettingsInvalid):
        read(CoreConfig, environ).worker_tls()


def test_a_file_that_is_not_there_is_named(tls):
    tls.certificate.unlink()
    (fault,) = faults(environment(tls))
    assert str(tls.certificate) in fault
    assert "cannot be read" in fault


def test_a_key_of_another_certificate_is_refused(tls, tmp_path):
    other = Authority(tmp_path, "other").issue(WORKER)
    (fault,) = faults(environment(tls) | {"COHORTLENS_WORKER_TLS_KEY": str(other.key)})
    assert "does not go with" in fault


def test_a_key_with_a_password_is_refused_without_asking_for_it(tls):
    key = serialization.load_pem_private_key(tls.key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    tls.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    )
    (fault,) = faults(environment(tls))
    assert "without a password" in fault


def test_text_that_is_no_certificate_is_refused(tls):
    tls.authority.write_text("not a certificate")
    (fault,) = faults(environment(tls))
    assert fault.startswith("COHORTLENS_WORKER_TLS_CA=")


@pytest.mark.parametrize(
    ("bind", "said"),
    [
        ("10.0.0.7", "set COHORTLENS_WORKER_TLS_CA"),
        ("0.0.0.0", "expected one interface"),
        ("::", "expected one interface"),
        ("worker-7", "expected the IP address"),
    ],
)
def test_a_worker_listens_beyond_loopback_only_with_tls_and_on_one_interface(bind, said):
    (fault,) = read(WorkerConfig, environment(None, COHORTLENS_WORKER_BIND=bind)).faults()
    assert said in fault


def test_with_tls_a_private_interface_is_taken(tls):
    assert read(WorkerConfig, environment(tls, COHORTLENS_WORKER_BIND="10.0.0.7")).faults() == []
