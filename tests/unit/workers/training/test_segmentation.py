import numpy as np
import pytest

from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.purchase_days import purchase_days
from tests.fixtures.shops import FIRST_DAY, shop
from workers.training import naming, segmentation
from workers.training.datasets import Snapshot, rows_at
from workers.training.faults import TrainingFault
from workers.training.segmentation import Candidate, choose, explained_share

AS_OF = FIRST_DAY + 419


def snapshot_of(days, as_of=AS_OF):
    return Snapshot(days, int(days.customer.max()) + 1, int(days.day.min()), as_of)


def candidate(k, ari=0.9, smallest=0.1, eta2=0.2):
    return Candidate(k, ari, smallest, eta2, 0.3)


@pytest.fixture(scope="module")
def fitted():
    return segmentation.segment(snapshot_of(shop(300)), "EUR", 0)


@pytest.fixture(scope="module")
def features():
    return rows_at(shop(300), 300, AS_OF, (0,))[0].features


def test_the_stable_k_that_tells_most_wins():
    tried = (
        candidate(3),
        candidate(4, eta2=0.25),
        candidate(5, ari=0.79, eta2=0.4),
        candidate(6, smallest=0.02, eta2=0.4),
    )
    assert choose(tried).k == 4


def test_near_equals_go_to_the_smaller_k():
    assert choose((candidate(3, eta2=0.2), candidate(4, eta2=0.2049))).k == 3
    assert choose((candidate(3, eta2=0.2), candidate(4, eta2=0.2051))).k == 4


def test_without_a_stable_k_the_most_stable_is_taken_and_flagged():
    chosen = choose((candidate(3, ari=0.5), candidate(4, ari=0.7), candidate(5, ari=0.7)))
    assert chosen.k == 4
    assert not chosen.stable


def test_the_explained_share_is_that_of_the_variance():
    values, groups = np.array([1.0, 3.0, 11.0, 13.0]), np.array([0, 0, 2, 2])
    assert explained_share(values, groups) == pytest.approx(100 / 104)
    assert explained_share(np.ones(4), groups) == 0.0


def test_profiles_tell_the_truth_about_their_members(fitted, features):
    which, _ = fitted.assign(features)
    for index, profile in enumerate(fitted.profiles):
        members = features[which == index].astype(np.float64)
        assert profile.key == f"s{index + 1}"
        assert profile.size == len(members) > 0
        assert profile.share_ratio == pytest.approx(len(members) / len(features))
        for key, column in (("since_days", "since"), ("repeat_days", "x"), ("total_spend", "sum")):
            assert profile.centroid[key] == pytest.approx(members[:, SCHEMA.index(column)].mean())
        assert f"{profile.size:,} customers" in profile.sentence
        assert f"{profile.size:,} clientes" in profile.sentence_es
    assert sum(profile.size for profile in fitted.profiles) == len(features)


def test_names_are_unique_and_segments_stand_by_spend(fitted):
    assert len({profile.name for profile in fitted.profiles}) == len(fitted.profiles) >= 3
    spend = [profile.centroid["total_spend"] for profile in fitted.profiles]
    assert spend == sorted(spend, reverse=True)


def test_champions_spend_most_afterwards(fitted):
    best = max(fitted.profiles, key=lambda profile: profile.centroid["later_spend"])
    assert [p.name for p in fitted.profiles if p.name == naming.CHAMPIONS] in ([], [best.name])


def test_the_name_champions_moves_to_whoever_is_worth_most():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 3))
    centroids = np.array([[-1.5, 1.5, 1.5], [0.0, 0.2, 0.2], [1.5, -1.0, -1.0]])
    assert naming.name_segments(z, centroids, np.array([9.0, 2.0, 1.0]))[0] == naming.CHAMPIONS
    moved = naming.name_segments(z, centroids, np.array([2.0, 9.0, 1.0]))
    assert moved[1] == naming.CHAMPIONS
    assert len(set(moved)) == 3


def test_ten_segments_get_ten_names():
    rng = np.random.default_rng(0)
    z = np.repeat(rng.normal(size=(1, 3)), 50, axis=0)  # every rule but one is empty
    assert len(set(naming.name_segments(z, rng.normal(size=(10, 3)), np.arange(10.0)))) == 10


def test_customers_of_two_kinds_are_nothing_to_learn():
    days = purchase_days(range(60), [FIRST_DAY] * 30 + [FIRST_DAY + 9] * 30, [5.0] * 60)
    with pytest.raises(TrainingFault, match="2 kinds") as caught:
        segmentation.segment(snapshot_of(days), "EUR", 0)
    assert caught.value.reason == "NOTHING_TO_LEARN"


def test_customers_of_four_kinds_make_at_most_four_segments():
    kinds = np.repeat(np.arange(4), 20)
    days = purchase_days(range(80), FIRST_DAY + 90 * kinds, 10.0 ** (1 + kinds))
    found = segmentation.segment(snapshot_of(days), "EUR", 0)
    assert max(tried.k for tried in found.candidates) == 4
    assert np.isfinite(found.centroids).all()
