"""Ports and the environment of the stack's processes follow from the settings."""

import pytest

from cohortlens.core.config import setting_names
from cohortlens.embedded import settings
from cohortlens.embedded.preflight import check_settings
from gateway.config import GatewayConfig
from sidecars.web3.config import Web3Config
from workers.config import WorkerConfig


def _config(**values):
    config, faults = check_settings({f"COHORTLENS_{name}": value for name, value in values.items()})
    assert faults == []
    return config


def test_the_offset_moves_default_ports_and_leaves_given_ones():
    config = _config(PORT_OFFSET="100", GRPC_PORT="7000", REDIS_PORT="0")
    ports = {name: config.port(name) for name in settings.DEFAULT_PORTS}
    assert ports == {
        "http": 8180,
        "grpc": 7000,
        "postgres": 15532,
        "redis": 0,
        "smtp": 11125,
        "stripe": 12211,
        "web3": 50171,
        "ops": 9564,
    }


def test_the_stand_in_for_stripe_starts_in_development_without_a_key_only():
    assert _config().embeds_stripe
    assert not _config(ENV="test").embeds_stripe
    assert not _config(STRIPE_API_KEY="sk_test_of_somebody").embeds_stripe
    assert "stripe" not in settings.chosen_ports(
        _config(STRIPE_API_KEY="sk_test_of_somebody", OPS_PORT="9464")
    )


def test_only_gateway_and_stand_in_know_the_secret_of_webhooks():
    environ = {"COHORTLENS_STRIPE_WEBHOOK_SECRETS": "whsec_x", "COHORTLENS_STRIPE_API_KEY": "sk_test_x"}
    environ |= {"COHORTLENS_DATABASE_URL": "d", "COHORTLENS_JOBS_DATABASE_URL": "j", "COHORTLENS_KEK": "k"}
    given = {
        name: settings.own_environment(name, environ) for name in ("gateway", "jobs", "workers", "stripe")
    }
    knowing = [name for name, own in given.items() if "COHORTLENS_STRIPE_WEBHOOK_SECRETS" in own]
    assert knowing == ["gateway", "stripe"]
    assert set(given["stripe"]) == {"COHORTLENS_STRIPE_WEBHOOK_SECRETS", "COHORTLENS_STRIPE_API_KEY"}


def test_every_setting_of_every_process_is_known():
    read_somewhere = setting_names(GatewayConfig, WorkerConfig, Web3Config)
    assert read_somewhere <= settings.known_settings()
    assert settings.PASSED_THROUGH - read_somewhere == set(), "nothing is passed on that nobody reads"


def test_what_the_stack_decides_wins_over_what_was_inherited(tmp_path):
    inherited = {
        "PATH": "/bin",
        "COHORTLENS_REDIS_URL": "redis://elsewhere",
        "COHORTLENS_KEK_FILE": "/run/kek",
        "COHORTLENS_DRAIN_TIMEOUT": "9s",
    }
    decided = {"REDIS_URL": "redis://here", "KEK": "k"}
    environ = settings.child_environment(inherited, _config(DATA_DIR=str(tmp_path)), decided)
    assert environ["COHORTLENS_REDIS_URL"] == "redis://here"
    assert "COHORTLENS_KEK_FILE" not in environ, "both forms at once are a fault of the reader"
    assert environ["COHORTLENS_DRAIN_TIMEOUT"] == "9s"
    assert environ["COHORTLENS_DATA_DIR"] == str(tmp_path)
    assert environ["PATH"] == "/bin"


def test_a_relative_data_folder_is_absolute_for_the_processes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environ = settings.child_environment({}, _config(DATA_DIR="data"), {})
    assert environ["COHORTLENS_DATA_DIR"] == str(tmp_path / "data")


@pytest.mark.parametrize(("given", "embeds"), [({}, True), ({"REDIS_URL": "redis://h:1/0"}, False)])
def test_a_given_server_is_not_embedded(given, embeds):
    assert _config(**given).embeds_redis is embeds


def test_each_process_gets_what_is_for_its_work_and_the_web3_sidecar_nothing_of_the_control_plane():
    names = ("DATABASE_URL", "JOBS_DATABASE_URL", "KEK", "REDIS_URL", "PASSWORD_PEPPER", "STRIPE_API_KEY")
    names += ("WEB3_DSN", "WEB3_KEK", "WEB3_EVM_MINTER_KEY", "WEB3_TOKEN", "WEB3_ADDRESS")
    environ = {f"COHORTLENS_{name}": "x" for name in names} | {"COHORTLENS_WEB3_SOLANA_KEY_FILE": "/run/key"}

    def seen(program):
        return {name.removeprefix("COHORTLENS_") for name in settings.own_environment(program, environ)}

    assert seen("web3") == {
        *("WEB3_DSN", "WEB3_KEK", "WEB3_EVM_MINTER_KEY", "WEB3_TOKEN", "WEB3_ADDRESS", "WEB3_SOLANA_KEY_FILE")
    }
    for program in ("gateway", "jobs"):
        assert {name for name in seen(program) if name.startswith("WEB3")} == {"WEB3_TOKEN", "WEB3_ADDRESS"}
    for program in ("workers", "mail", "stripe"):
        assert {name for name in seen(program) if name.startswith("WEB3")} == {"WEB3_ADDRESS"}


def test_the_sidecar_runs_here_unless_another_is_named_or_it_could_reach_no_journal():
    assert _config().embeds_web3
    assert not _config(WEB3_ADDRESS="web3.internal:50071").embeds_web3
    assert not _config(DATABASE_URL="postgresql://h/db").embeds_web3
    assert _config(DATABASE_URL="postgresql://h/db", WEB3_DSN="postgresql://h/db").embeds_web3
