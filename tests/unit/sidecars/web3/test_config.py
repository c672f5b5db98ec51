"""The settings of the sidecar: what is refused at the start, all at once and without a secret in the text."""

import base64

import pytest

from cohortlens.core.config import SettingsInvalid, read
from cohortlens.embedded import web3
from sidecars.web3.config import Web3Config
from sidecars.web3.credentials.area import base_url
from sidecars.web3.journal.pool import POOL_SIZE

KEY = base64.b64encode(bytes(range(3, 99, 3))).decode()
GOOD = {
    "COHORTLENS_WEB3_TOKEN": "a token of this test alone, long",
    "COHORTLENS_WEB3_DSN": "postgresql://cl_web3:pw@127.0.0.1:5432/cohortlens",
    "COHORTLENS_WEB3_KEK": KEY,
    "COHORTLENS_PUBLIC_URL": "https://consent.example",
}
MINTER, VOUCHER = "0x" + "a1" * 32, "0x" + "b2" * 32
REMOTE_EVM = {
    "EVM_URL": "https://rpc.example/secretpath",
    "EVM_CONTRACT": "0x" + "33" * 20,
    "EVM_MINTER_KEY": MINTER,
    "EVM_VOUCHER_KEY": VOUCHER,
}


def config(**changes):
    return read(Web3Config, GOOD | {f"COHORTLENS_WEB3_{name}": value for name, value in changes.items()})


def test_embedded_chains_need_a_token_a_journal_a_key_and_an_address_and_no_more():
    assert config().faults() == []
    empty = read(Web3Config, {}).faults()
    assert [fault.split()[0].split("=")[0] for fault in empty] == [
        "COHORTLENS_WEB3_TOKEN",
        "COHORTLENS_WEB3_DSN",
        "COHORTLENS_WEB3_KEK",
        "COHORTLENS_PUBLIC_URL",
    ]


@pytest.mark.parametrize(
    "host", ["https://consent.example", "Consent.example", "10.0.0.1", "consent.example:70000"]
)
def test_a_host_that_cannot_stand_in_a_did_is_refused_by_its_setting(host):
    with pytest.raises(SettingsInvalid, match="COHORTLENS_WEB3_DID_WEB_HOST"):
        base_url(config(DID_WEB_HOST=host))


@pytest.mark.parametrize(
    ("environment", "address", "host", "named"),
    [
        ("production", "https://consent.example", "", None),
        ("production", "", "consent.example", None),
        ("development", "http://127.0.0.1:8080", "", None),
        ("development", "", "localhost:8080", None),
        ("production", "", "", "COHORTLENS_PUBLIC_URL is not set"),
        ("production", "http://consent.example", "", "COHORTLENS_PUBLIC_URL=http://consent.example"),
        ("development", "ftp://consent.example", "", "COHORTLENS_PUBLIC_URL=ftp://consent.example"),
        ("development", "https://consent.example/?a=b", "", "COHORTLENS_PUBLIC_URL="),
    ],
)
def test_credentials_need_an_address_for_their_status_lists(environment, address, host, named):
    values = {
        "COHORTLENS_ENV": environment,
        "COHORTLENS_PUBLIC_URL": address,
        "COHORTLENS_WEB3_DID_WEB_HOST": host,
    }
    faults = [
        one for one in read(Web3Config, GOOD | values).faults() if "PUBLIC_URL" in one or "DID_WEB" in one
    ]
    assert [fault.startswith(named or "") for fault in faults] == ([True] if named else [])


def test_a_remote_chain_is_complete_or_refused():
    assert config(**REMOTE_EVM).faults() == []
    for name in ("EVM_CONTRACT", "EVM_MINTER_KEY", "EVM_VOUCHER_KEY"):
        lacking = {key: value for key, value in REMOTE_EVM.items() if key != name}
        assert any(f"COHORTLENS_WEB3_{name} is not set" in fault for fault in config(**lacking).faults())
    missing = " ".join(config(SOLANA_URL="https://rpc.example").faults())
    assert all(name in missing for name in ("SOLANA_GENESIS", "SOLANA_MINT", "SOLANA_KEY"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"EVM_CHAIN_ID": "137"}, "CHAIN_MAINNET_NOT_CONFIRMED"),
        ({"EVM_CHAIN_ID": "1"}, "CHAIN_MAINNET_NOT_CONFIRMED"),
        (REMOTE_EVM | {"EVM_VOUCHER_KEY": MINTER.upper().replace("0X", "")}, "SIGNER_ROLES_SHARED"),
        ({"LISTEN": "50071"}, "expected host:port"),
        ({"LISTEN": "127.0.0.1:70000"}, "expected host:port"),
        ({"TOKEN": "short"}, "24 characters"),
        ({"KEK": "c2hvcnQ="}, "COHORTLENS_WEB3_KEK must be 32 bytes"),
        ({"KEK_PREVIOUS": "c2hvcnQ="}, "COHORTLENS_WEB3_KEK_PREVIOUS must be 32 bytes"),
        ({"EVM_CONFIRMATIONS": "0"}, "expected 1 or more"),
        ({"REWARD_DAILY": "0"}, "expected 1 or more"),
    ],
)
def test_what_cannot_work_is_refused_by_name_and_shows_no_secret(changes, said):
    faults = " ".join(config(**changes).faults())
    assert said in faults
    assert not any(secret in faults for secret in ("short", MINTER[2:], VOUCHER[2:], "c2hvcnQ"))


def test_real_money_is_meant_when_it_is_confirmed():
    assert config(EVM_CHAIN_ID="137", MAINNET="yes").faults() == []


def test_the_stack_hands_on_every_setting_that_the_sidecar_reads():
    of_the_sidecar = {
        field.metadata["setting"].removeprefix("COHORTLENS_")
        for field in Web3Config.__dataclass_fields__.values()
        if field.metadata["setting"].startswith("COHORTLENS_WEB3_")
    }
    assert of_the_sidecar - {"WEB3_TOKEN"} == set(web3.SETTINGS)


def test_the_stack_counts_the_connections_that_the_journal_keeps():
    assert web3.CONNECTIONS == POOL_SIZE


def test_no_other_process_gets_a_secret_of_the_sidecar():
    secret = {
        field.metadata["setting"].removeprefix("COHORTLENS_")
        for field in Web3Config.__dataclass_fields__.values()
        if field.type in ("Secret", "Url") and field.metadata["setting"].startswith("COHORTLENS_WEB3_")
    }
    assert secret - {"WEB3_TOKEN"} == set(web3.OF_THE_SIDECAR)
