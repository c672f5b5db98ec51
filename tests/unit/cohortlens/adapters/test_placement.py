"""Which replica takes a call."""

from __future__ import annotations

from dataclasses import dataclass, field

from cohortlens.adapters.placement import SPILL_ROWS, choose, owners


@dataclass(eq=False)
class One:
    replica: str
    rows_in_flight: int = 0
    loaded: set[str] = field(default_factory=set)


def replicas(count):
    return [One(f"r{number}") for number in range(count)]


def names(found):
    return [one.replica for one in found]


MODELS = [f"model-{number}" for number in range(500)]


def test_every_caller_finds_the_same_two_owners_whatever_the_order_of_its_list():
    fleet = replicas(9)
    for model in MODELS:
        assert names(owners(fleet, model)) == names(owners(fleet[::-1], model))


def test_models_are_spread_evenly_over_the_replicas():
    fleet = replicas(10)
    shares = dict.fromkeys(names(fleet), 0)
    for model in MODELS:
        for one in owners(fleet, model):
            shares[one.replica] += 1
    # 1,000 places on 10 replicas: 100 each, five standard deviations are 47.
    assert all(53 < share < 147 for share in shares.values())


def test_a_replica_that_leaves_moves_only_the_models_it_owned():
    fleet = replicas(8)
    left = [one for one in fleet if one.replica != "r3"]
    for model in MODELS:
        before, after = names(owners(fleet, model)), names(owners(left, model))
        assert [one for one in before if one != "r3"] == [one for one in after if one in before]
        if "r3" not in before:
            assert before == after


def test_an_owner_that_holds_the_model_goes_before_one_that_does_not():
    fleet = replicas(4)
    pair = owners(fleet, "m")
    pair[1].loaded.add("m")
    pair[1].rows_in_flight = 100
    assert choose(fleet, pair, "m", 10) is pair[1]


def test_of_two_owners_that_hold_the_model_the_less_loaded_takes_the_call():
    fleet = replicas(4)
    pair = owners(fleet, "m")
    for one in pair:
        one.loaded.add("m")
    pair[0].rows_in_flight = 5
    assert choose(fleet, pair, "m", 10) is pair[1]


def test_a_call_spills_when_both_owners_have_far_more_than_the_average():
    fleet = replicas(4)
    pair = owners(fleet, "m")
    for one in pair:
        one.loaded.add("m")
        one.rows_in_flight = SPILL_ROWS
    others = [one for one in fleet if one not in pair]
    others[1].rows_in_flight = 10
    assert choose(fleet, pair, "m", 10) is others[0]


def test_a_spilled_call_prefers_a_replica_that_holds_the_model_to_an_idle_one():
    fleet = replicas(4)
    pair = owners(fleet, "m")
    for one in pair:
        one.rows_in_flight = SPILL_ROWS
    holder = next(one for one in fleet if one not in pair)
    holder.loaded.add("m")
    holder.rows_in_flight = 10
    assert choose(fleet, pair, "m", 10) is holder


def test_when_all_are_equally_loaded_the_owners_keep_their_models():
    fleet = replicas(4)
    for one in fleet:
        one.rows_in_flight = 4 * SPILL_ROWS
    pair = owners(fleet, "m")
    assert choose(fleet, pair, "m", 10) in pair


def test_no_replica_gets_more_than_a_quarter_above_the_average_plus_a_batch():
    fleet = replicas(6)
    for number in range(3_000):
        model = f"hot-{number % 3}"
        one = choose(fleet, owners(fleet, model), model, 16)
        one.rows_in_flight += 16
        one.loaded.add(model)
    average = sum(one.rows_in_flight for one in fleet) / len(fleet)
    assert max(one.rows_in_flight for one in fleet) <= 1.25 * average + SPILL_ROWS


def test_a_single_replica_takes_everything():
    (only,) = fleet = replicas(1)
    only.rows_in_flight = 100_000
    assert choose(fleet, owners(fleet, "m"), "m", 10) is only


def test_a_call_without_a_model_goes_to_the_less_loaded_of_two():
    fleet = replicas(2)
    fleet[0].rows_in_flight = 1
    assert choose(fleet, owners(fleet, ""), "", 1) is fleet[1]
