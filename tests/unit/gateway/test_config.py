"""The gateway's settings: how many processes."""

import os

import pytest

from cohortlens.core.config import read
from gateway.config import GatewayConfig


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
