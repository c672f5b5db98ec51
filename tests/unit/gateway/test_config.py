"""The gateway's settings: how many processes, what the internal port needs."""

import os

import pytest

from cohortlens.core.config import read
from gateway.config import GatewayConfig
from tests.fixtures.certificates import Authority


def config(**environ):
    return read(GatewayConfig, {f"COHORTLENS_{name}": value for name, value in environ.items()})


def test_there_is_one_process_unless_more_are_asked_for():
    assert config().process_count() == 1
    assert config(GATEWAY_PROCESSES="3").process_count() == 3
    assert config(GATEWAY_PROCESSES="auto").process_count() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "257"])
def test_another_number_is_refused_with_what_is_expected(value):
    assert config(GATEWAY_PROCESSES=value).faults() == [
        f"COHORTLENS_GATEWAY_PROCESSES={value!r}: expected auto or a number from 1 to 256"
    ]


def test_the_other_grpc_server_cannot_share_its_port():
    [fault] = config(GATEWAY_PROCESSES="2", GRPC_SERVER="grpcio").faults()

    assert "COHORTLENS_GRPC_SERVER=grpcio" in fault
    assert config(GRPC_SERVER="grpcio").faults() == []


@pytest.fixture
def internal(tmp_path):
    """Settings of an internal port that works."""
    issued = Authority(tmp_path, "ours").issue("gateway.cohortlens.internal")
    return {
        "INTERNAL_PORT": "50443",
        "INTERNAL_TLS_CA": str(issued.authority),
        "INTERNAL_TLS_CERT": str(issued.certificate),
        "INTERNAL_TLS_KEY": str(issued.key),
    }


def test_the_internal_port_is_off_unless_it_is_set(internal):
    assert config().internal_files() is None
    assert config().faults() == []
    assert config(**internal).faults() == []
    without_port = {name: value for name, value in internal.items() if name != "INTERNAL_PORT"}
    assert config(**without_port).internal_files() is None


def test_the_internal_port_is_never_served_without_certificates(internal):
    for name in ("INTERNAL_TLS_CA", "INTERNAL_TLS_CERT", "INTERNAL_TLS_KEY"):
        given = {key: value for key, value in internal.items() if key != name}
        [fault] = config(**given).faults()
        assert "must all be set" in fault


def test_files_that_do_not_go_together_are_named(internal, tmp_path):
    other = Authority(tmp_path, "theirs").issue("x.example")
    [fault] = config(**{**internal, "INTERNAL_TLS_KEY": str(other.key)}).faults()
    assert fault.startswith("COHORTLENS_INTERNAL_TLS_CERT=")
    assert "does not go with COHORTLENS_INTERNAL_TLS_KEY" in fault
    [fault] = config(**{**internal, "INTERNAL_TLS_CA": str(tmp_path / "none.pem")}).faults()
    assert fault.startswith("COHORTLENS_INTERNAL_TLS_CA=")


def test_several_processes_need_to_know_the_port_they_share(internal):
    [fault] = config(**{**internal, "INTERNAL_PORT": "0", "GATEWAY_PROCESSES": "2"}).faults()
    assert "several processes share it" in fault


def test_production_serves_no_reflection():
    assert not config().shows_reflection("production")
    assert config().shows_reflection("development")
    assert not config(REFLECTION="false").shows_reflection("development")
    [fault] = config(REFLECTION="true").production_faults()
    assert "COHORTLENS_REFLECTION" in fault
    assert config().production_faults() == config(REFLECTION="false").production_faults() == []
