"""Identifiers, states and salts of fulfilment, against values that were computed elsewhere."""

from __future__ import annotations

import hashlib
import hmac
from uuid import UUID

import pytest

from cohortlens.consent.fulfilment import models
from cohortlens.consent.tariffs import DEFAULT_TARIFF, Rate, Tariff, checked, compute_reward_tokens
from cohortlens.core.errors import InvalidArgument

ON = Tariff(is_enabled=True, terms_version="on-chain-1")


def test_a_reward_is_known_by_the_published_vector():
    tenant = UUID("01890000-0000-7000-8000-000000000001")
    source = UUID("01890000-0000-7000-8000-000000000002")

    assert models.reward_id_of(tenant, models.REWARD_OF_CONSENT, source).hex() == (
        "02711fef518d007519a7e13ab3b27be57d49774178e4836c5dfc3574f74173e3"
    )
    assert models.reward_id_of(tenant, models.REWARD_OF_SETTLEMENT, source).hex()[:6] != "02711f"


def test_an_operation_is_a_uuid_of_version_8_that_differs_by_step_and_source():
    one, other = UUID(int=1), UUID(int=2)
    made = {models.operation_id(step, source) for step in ("issue", "revoke") for source in (one, other)}

    assert len(made) == 4
    assert {(uuid.version, uuid.variant) for uuid in made} == {(8, "specified in RFC 4122")}
    assert models.operation_id("issue", one) == models.operation_id("issue", one)


@pytest.mark.parametrize("state", sorted(models.REWARD_CHANGES))
def test_no_change_of_a_reward_undoes_a_payment(state):
    after = models.REWARD_CHANGES[state]

    assert after <= models.REWARD_CHANGES.keys() - {state}
    if state in {"FINAL", "CLAIMED"}:
        assert not after
    if state in {"SIGNED", "SENT", "MINED"}:
        assert "CANCELLED" not in after


def test_a_commitment_is_opened_by_its_own_salt_alone():
    secret = bytes(32)
    salt, other = models.salt_of(secret, "pin/1/receipt"), models.salt_of(secret, "pin/1/credential")

    assert models.commitment(salt, b"receipt") == hmac.new(salt, b"receipt", hashlib.sha256).hexdigest()
    assert models.commitment(salt, b"receipt") != models.commitment(other, b"receipt")


@pytest.mark.parametrize(
    ("tariff", "may_reward", "was_earned", "amount", "reason"),
    [
        (ON, True, False, 10_000_000, ""),
        (Tariff(), True, False, 0, "REWARDS_OFF"),
        (ON, False, False, 0, "REWARD_NOT_CONSENTED"),
        (ON, True, True, 0, "REWARD_ALREADY_EARNED"),
        (Tariff(is_enabled=True, rates={"data_sharing": Rate(0)}), True, False, 0, "REWARD_NONE"),
        (Tariff(is_enabled=True, rates={"data_sharing": Rate(7)}), True, False, 7, ""),
    ],
)
def test_a_consent_earns_what_the_tariff_says_once_and_only_if_the_person_allows_it(
    tariff, may_reward, was_earned, amount, reason
):
    found = compute_reward_tokens("data_sharing", tariff, may_reward=may_reward, was_earned=was_earned)

    assert (found.amount_micro, found.reason) == (amount, reason)


def test_a_purpose_that_nobody_priced_earns_nothing():
    assert "newsletter" not in DEFAULT_TARIFF
    found = compute_reward_tokens("newsletter", ON, may_reward=True, was_earned=False)

    assert found.reason == "REWARD_NONE"


@pytest.mark.parametrize(
    ("tariff", "field", "reason"),
    [
        (Tariff(rates={"profiling": Rate(1_000_000_001)}), "rates[profiling]", "REWARD_AMOUNT_INVALID"),
        (Tariff(rates={"profiling": Rate(-1)}), "rates[profiling]", "REWARD_AMOUNT_INVALID"),
        (Tariff(rates={"profiling": Rate(1, "bitcoin")}), "rates[profiling].chain", "FIELD_INVALID"),
        (Tariff(delivery="POST"), "delivery", "FIELD_INVALID"),
        (Tariff(delivery="VOUCHER", rates={"profiling": Rate(1, "solana")}), "delivery", "FIELD_INVALID"),
        (Tariff(is_enabled=True), "terms_version", "FIELD_INVALID"),
        (Tariff(is_enabled=True, terms_version="on-chain-0"), "terms_version", "FIELD_INVALID"),
    ],
)
def test_a_tariff_that_cannot_be_is_refused_by_field(tariff, field, reason):
    with pytest.raises(InvalidArgument) as refused:
        checked(tariff)

    assert refused.value.reason == reason
    assert field in refused.value.violations[0].field
