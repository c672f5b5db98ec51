from dataclasses import replace

import numpy as np
import pytest

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.manifest import ModelManifest
from tests.fixtures.shops import FIRST_DAY, shop
from workers.runtime.bundle import SEGMENTATION_FILE
from workers.training import export, naming, segmentation
from workers.training.datasets import Snapshot
from workers.training.segment_keys import HIGHEST_KEY, Former, former_segments, lineage

MEAN, SD = np.array([3.0, 1.0, 4.0]), np.array([1.0, 0.5, 2.0])
BEFORE = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 4.0, 0.0]])


def former(z=BEFORE, keys=("s1", "s2", "s5"), highest=7):
    return Former(z * SD + MEAN, keys, ("Loyal", "Lost", "New"), highest)


def test_a_segment_found_again_keeps_its_key_wherever_it_stands_now():
    found = lineage(BEFORE[[2, 0, 1]] + 0.2, MEAN, SD, former())
    assert found.keys == ("s5", "s1", "s2")
    assert found.names == ("New", "Loyal", "Lost")
    assert found.highest == 7


def test_a_new_segment_gets_a_key_that_nobody_ever_had():
    found = lineage(np.vstack([BEFORE[:2], [[9.0, 9.0, 9.0]]]), MEAN, SD, former())
    assert found.keys == ("s1", "s2", "s8")
    assert found.names[2] == ""
    assert found.highest == 8


def test_a_centre_further_off_than_one_unit_is_another_segment_and_pushes_nobody_aside():
    near, far = BEFORE[0] + [0.9, 0.0, 0.0], BEFORE[0] + [0.0, 0.0, 1.01]
    assert lineage(np.array([far, near]), MEAN, SD, former()).keys == ("s8", "s1")


def test_centres_are_compared_in_the_units_of_the_new_scaler():
    wide = lineage(np.array([[0.0, 0.0, 0.0]]), MEAN + 0.5 * SD, SD, former(BEFORE[:1], ("s3",), 3))
    narrow = lineage(np.array([[0.0, 0.0, 0.0]]), MEAN + 0.5 * SD, SD / 4, former(BEFORE[:1], ("s3",), 3))
    assert wide.keys == ("s3",)
    assert narrow.keys == ("s4",)


def test_without_a_version_before_keys_count_from_one():
    assert lineage(BEFORE, MEAN, SD, None).keys == ("s1", "s2", "s3")


def snapshot(day=419):
    days = shop(300)
    return Snapshot(days, 300, int(days.day.min()), FIRST_DAY + day)


def stored(store, fitted):
    graph = export.segmentation_graph(
        segmentation.COLUMNS, fitted.scaler.mean, fitted.scaler.sd, fitted.centroids
    )
    manifest = ModelManifest(
        model="segmentation",
        schema_hash=SCHEMA.hash,
        data_sha256="0" * 64,
        as_of="2026-01-01",
        currency="EUR",
        seed=0,
        code_version="1",
        files={SEGMENTATION_FILE: store.put_bytes(graph)},
        segments=fitted.profiles,
        metrics={HIGHEST_KEY: float(fitted.highest_key)},
    )
    return store.put_bytes(manifest.to_json().encode())


def test_a_refit_a_month_later_gives_the_customers_who_stayed_their_segment_names_and_keys(tmp_path):
    store = LocalArtifactStore(tmp_path)
    first = segmentation.segment(snapshot(389), "EUR", 0)
    digest = stored(store, replace(first, profiles=first.profiles[::-1], centroids=first.centroids[::-1]))
    known = former_segments(store, digest)
    second = segmentation.segment(snapshot(), "EUR", 1, former=known)
    before = {profile.key: profile for profile in first.profiles}
    kept = [profile for profile in second.profiles if profile.key in before]
    assert len(kept) >= len(first.profiles) - 1
    assert len({profile.key for profile in second.profiles}) == len(second.profiles)
    same = [profile for profile in kept if profile.name == before[profile.key].name]
    assert len(same) >= len(kept) - 1


def test_a_version_whose_files_are_gone_leaves_all_segments_new(tmp_path):
    store = LocalArtifactStore(tmp_path)
    assert former_segments(store, "") is None
    assert former_segments(store, "0" * 64) is None


def test_a_number_of_segments_can_be_asked_for():
    fitted = segmentation.segment(snapshot(), "EUR", 0, fixed_k=12)
    names = [profile.name for profile in fitted.profiles]
    assert len(set(names)) == len(names) == 12
    assert fitted.highest_key == 12


def test_a_name_is_kept_where_another_would_be_only_a_little_nearer():
    z = np.random.default_rng(0).normal(size=(500, 3))
    rules = naming._rule_centroids(z)
    loyal, risky, lost = (rules[naming.NAMES.index(name)] for name in ("Loyal", "At risk", "Lost"))
    between = 0.55 * loyal + 0.45 * risky
    assert np.linalg.norm(between - risky) - np.linalg.norm(between - loyal) < 0.5
    centroids, worth = np.array([between, lost]), np.array([9.0, 1.0])
    assert naming.name_segments(z, centroids, worth) == ["Loyal", "Lost"]
    assert naming.name_segments(z, centroids, worth, ["At risk", ""]) == ["At risk", "Lost"]
    # Not where it would be a lie.
    assert naming.name_segments(z, centroids, worth, ["New", ""]) == ["Loyal", "Lost"]


@pytest.mark.parametrize("k", [2, 20])
def test_the_smallest_and_the_largest_number_work(k):
    assert len(segmentation.segment(snapshot(), "EUR", 0, fixed_k=k).profiles) == k
