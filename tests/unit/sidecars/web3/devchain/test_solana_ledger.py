"""The embedded Solana ledger: what it keeps, what it refuses, what a crash leaves."""

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from sidecars.web3.devchain.solana_ledger import BLOCKHASH_SLOTS, SolanaLedger, TransactionRefused

SOL = 10**9


class Clock:
    def __init__(self):
        self.at = 1_700_000_000.0

    def __call__(self):
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def payer():
    return Keypair()


@pytest.fixture
def ledger(tmp_path, clock, payer):
    ledger = SolanaLedger(tmp_path, clock)
    ledger.airdrop(str(payer.pubkey()), 10 * SOL)
    yield ledger
    ledger.close()


def sending(ledger, payer, to, lamports, blockhash=None):
    given = Hash.from_string(blockhash or ledger.blockhash(ledger.slot))
    move = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports))
    return VersionedTransaction(MessageV0.try_compile(payer.pubkey(), [move], [], given), [payer])


def test_a_transfer_moves_lamports_and_costs_its_fee(ledger, payer):
    to = Pubkey.new_unique()
    landed = ledger.send(sending(ledger, payer, to, SOL))
    assert landed.error is None
    assert ledger.account(str(to)).lamports == SOL
    assert ledger.account(str(payer.pubkey())).lamports == 9 * SOL - landed.fee
    assert landed.fee == 5_000  # one signature


def test_the_same_transaction_again_is_answered_and_not_run_again(ledger, payer):
    to = Pubkey.new_unique()
    once = sending(ledger, payer, to, SOL)
    assert ledger.send(once) == ledger.send(once)
    assert ledger.account(str(to)).lamports == SOL
    assert [landed.signature for landed in ledger.signatures_of(str(to))] == [str(once.signatures[0])]


def test_a_blockhash_is_valid_for_150_slots_and_no_longer(ledger, payer, clock):
    to, old = Pubkey.new_unique(), ledger.blockhash(ledger.slot)
    clock.at += BLOCKHASH_SLOTS * 0.4
    assert ledger.is_valid(old)
    clock.at += 0.4
    with pytest.raises(TransactionRefused) as refused:
        ledger.send(sending(ledger, payer, to, SOL, old))
    assert refused.value.error == "BlockhashNotFound"
    assert ledger.account(str(to)) is None


def test_a_blockhash_of_nobody_is_refused(ledger, payer):
    with pytest.raises(TransactionRefused, match="BlockhashNotFound"):
        ledger.send(sending(ledger, payer, Pubkey.new_unique(), 1, str(Hash.new_unique())))


def test_what_would_fail_is_refused_before_it_costs_anything(ledger, payer):
    before = ledger.account(str(payer.pubkey())).lamports
    with pytest.raises(TransactionRefused) as refused:
        ledger.send(sending(ledger, payer, Pubkey.new_unique(), 11 * SOL))
    assert refused.value.error == {"InstructionError": [0, {"Custom": 1}]}
    assert any("insufficient lamports" in line for line in refused.value.logs)
    assert ledger.account(str(payer.pubkey())).lamports == before


def test_without_preflight_a_failure_lands_and_costs_its_fee(ledger, payer):
    before = ledger.account(str(payer.pubkey())).lamports
    landed = ledger.send(sending(ledger, payer, Pubkey.new_unique(), 11 * SOL), preflight=False)
    assert landed.error == {"InstructionError": [0, {"Custom": 1}]}
    assert ledger.account(str(payer.pubkey())).lamports == before - landed.fee


def test_a_forged_signature_reaches_no_slot(ledger, payer):
    forged = sending(ledger, payer, Pubkey.new_unique(), SOL)
    raw = bytearray(bytes(forged))
    raw[20] ^= 1
    with pytest.raises(TransactionRefused, match="SignatureFailure"):
        ledger.send(VersionedTransaction.from_bytes(bytes(raw)), preflight=False)


def test_the_ledger_comes_back_from_disk_with_everything_it_answered(tmp_path, clock, ledger, payer):
    to = Pubkey.new_unique()
    landed = ledger.send(sending(ledger, payer, to, SOL))
    ledger.close()
    again = SolanaLedger(tmp_path, clock)
    assert again.genesis_hash == ledger.genesis_hash
    assert again.landed(landed.signature) == landed
    assert again.account(str(to)).lamports == SOL
    assert again.account(str(payer.pubkey())).lamports == 9 * SOL - landed.fee
    again.close()


def test_a_line_cut_off_by_a_crash_is_dropped_and_the_next_one_is_kept(tmp_path, clock, ledger, payer):
    to = Pubkey.new_unique()
    kept = ledger.send(sending(ledger, payer, to, SOL))
    lost = ledger.send(sending(ledger, payer, to, 2 * SOL))
    ledger.close()
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    again = SolanaLedger(tmp_path, clock)
    assert again.landed(kept.signature) == kept
    assert again.landed(lost.signature) is None
    assert again.account(str(to)).lamports == SOL
    third = again.send(sending(again, payer, to, 3 * SOL))
    again.close()
    last = SolanaLedger(tmp_path, clock)
    assert last.landed(third.signature) == third
    assert last.account(str(to)).lamports == 4 * SOL
    last.close()


def test_a_lost_file_is_another_chain(tmp_path, clock, ledger):
    before = ledger.genesis_hash
    (tmp_path / "ledger.jsonl").unlink()
    other = SolanaLedger(tmp_path, clock)
    assert other.genesis_hash != before
    other.close()
