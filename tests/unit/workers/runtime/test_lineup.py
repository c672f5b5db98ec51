"""Blends of hand-made members: each value is worked out a second way, from the parts."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cohortlens.contracts.artifacts import ArtifactCorrupt
from cohortlens.contracts.asks import calibration_key
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.manifest import Blend, IntervalCalibration, ModelManifest
from cohortlens.contracts.sequences import CHANNELS, WEEKS, join
from workers.runtime import btyd
from workers.runtime.btyd import BtydParameters
from workers.runtime.btyd_money import GammaGamma, expected_value
from workers.runtime.bundle import Bundle
from workers.runtime.faults import HorizonUnsupported, TargetUnsupported
from workers.runtime.lineup import SEQUENCE_FILE
from workers.runtime.members import HYBRID_COLUMNS, SEQUENCE_INPUTS
from workers.runtime.tree_arrays import TreeArrays
from workers.training.export import trees_graph

COLUMNS = len(SCHEMA.columns)
PARAMETERS = {
    "bgnbd": {"r": 0.243, "alpha": 30.9, "a": 0.793, "b": 2.426},
    "mbgnbd": {"r": 0.525, "alpha": 43.3, "a": 0.891, "b": 1.614},
    "paretonbd": {"r": 0.5533, "alpha": 74.0, "s": 0.6062, "beta": 81.7},
}
MONEY = {"p": 6.25, "q": 3.744, "gamma": 15.444}
HORIZONS = (30, 90)
TARGETS = ("purchases", "spend", "churn")


def stump(column, threshold, left, right, columns=COLUMNS):
    """One tree: ``left`` where the column is at most the threshold, else ``right``; log space."""
    return TreeArrays(
        base=np.array(0.0),
        features=np.array(columns, np.int32),
        starts=np.array([0, 3], np.int32),
        left=np.array([1, -1, -1], np.int32),
        right=np.array([2, -1, -1], np.int32),
        default=np.array([1, -1, -1], np.int32),
        feature=np.array([column, -1, -1], np.int32),
        threshold=np.array([threshold, 0.0, 0.0]),
        value=np.array([0.0, np.float32(np.log(left)), np.float32(np.log(right))], np.float64),
        weight=np.array([2.0, 1.0, 1.0]),
    )


def sequence_graph():
    """A net whose purchases are the sum of the weeks plus the horizon; spend and churn are constants."""
    inputs = [
        helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, COLUMNS]),
        helper.make_tensor_value_info("sequence", TensorProto.FLOAT, [None, WEEKS, len(CHANNELS)]),
        helper.make_tensor_value_info("horizon", TensorProto.FLOAT, [None, 1]),
    ]
    nodes = [
        helper.make_node("ReduceSum", ["sequence", "axes"], ["sums"], keepdims=0),
        helper.make_node("Reshape", ["sums", "column"], ["weeks"]),
        helper.make_node("Add", ["weeks", "horizon"], ["purchases"]),
        helper.make_node("ReduceMax", ["features", "one"], ["most"], keepdims=1),
        helper.make_node("Mul", ["most", "zero"], ["spend"]),
        helper.make_node("Mul", ["horizon", "zero"], ["churn"]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in TARGETS]
    constants = {
        "axes": np.array([1, 2], np.int64),
        "column": np.array([-1, 1], np.int64),
        "one": np.array([1], np.int64),
        "zero": np.array(0.0, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "net",
        inputs,
        outputs,
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    assert {one.name for one in inputs} == set(SEQUENCE_INPUTS)
    return model.SerializeToString()


def interval(level_ratio, width):
    return IntervalCalibration(level_ratio, (1.0,), (width, width), (width, 2 * width), 1.0)


def manifest(weights, families=("bgnbd",), *, without=None, **changes):
    blend = Blend(weights, without or weights)
    calibration = {
        calibration_key(target, days, level): interval(level, level)
        for target in ("purchases", "spend")
        for days in HORIZONS
        for level in (0.5, 0.8, 0.95)
    }
    found = ModelManifest(
        model="prediction",
        schema_hash=SCHEMA.hash,
        data_sha256="0" * 64,
        as_of="2026-01-01",
        currency="EUR",
        seed=0,
        code_version="test",
        targets=TARGETS,
        horizons_days=HORIZONS,
        calibration=calibration,
        basis="BLEND",
        blends=dict.fromkeys(TARGETS, blend),
        btyd={family: PARAMETERS[family] for family in families} | {"gamma_gamma": MONEY},
        horizon_most_days=730,
    )
    return replace(found, **changes)


FILES = {
    "purchases.onnx": trees_graph(stump(SCHEMA.index("x"), 1.5, 0.5, 4.0)),
    "churn.onnx": trees_graph(stump(SCHEMA.index("x"), 1.5, 0.8, 0.1)),
    "spend.onnx": trees_graph(stump(SCHEMA.index("mean"), 30.0, 20.0, 70.0)),
}


def pure(family):
    return Bundle(manifest({family: 1.0}, (family,)), {})


@pytest.fixture
def rows():
    return customers(64)


def customers(count, seed=0):
    rng = np.random.default_rng(seed)
    matrix = np.zeros((count, COLUMNS), np.float32)
    age = rng.integers(0, 400, count)
    x = np.where(rng.random(count) < 0.4, 0, rng.poisson(3, count))
    x[:3] = (0, 200, 40)
    age[:3] = (0, 5000, 90)
    put(matrix, "x", x)
    put(matrix, "age", age)
    put(matrix, "t_x", np.where(x > 0, np.floor(age * rng.random(count)), 0))
    put(matrix, "zbar", np.where(x > 0, rng.gamma(2, 20, count), 0))
    put(matrix, "mean", rng.gamma(2, 20, count))
    return put(matrix, "horizon", 90)


def put(matrix, column, values):
    matrix[:, SCHEMA.index(column)] = values
    return matrix


def history(matrix):
    return tuple(matrix[:, SCHEMA.index(name)].astype(np.float64) for name in ("x", "t_x", "age"))


@pytest.mark.parametrize("horizon", [1, 30, 47, 90, 365, 730])
@pytest.mark.parametrize("family", PARAMETERS)
def test_a_purchase_model_alone_gives_its_own_forecast_at_any_horizon(rows, family, horizon):
    parameters = BtydParameters.from_dict(family, PARAMETERS[family])
    put(rows, "horizon", horizon)
    bundle = pure(family)
    expected = btyd.expected_purchases(parameters, *history(rows), float(horizon))
    assert bundle.score("purchases", rows)["value"] == pytest.approx(expected, rel=1e-9)
    none = btyd.probability_of_none(parameters, *history(rows), float(horizon))
    assert bundle.score("churn", rows)["value"] == pytest.approx(none, rel=1e-9)
    zbar = rows[:, SCHEMA.index("zbar")].astype(np.float64)
    money = expected_value(GammaGamma.from_dict(MONEY), history(rows)[0], zbar)
    assert bundle.score("spend", rows)["value"] == pytest.approx(expected * money, rel=1e-9)


@pytest.mark.parametrize("target", [*TARGETS, "clv"])
@pytest.mark.parametrize("horizon", [90, 120])
@pytest.mark.parametrize("family", PARAMETERS)
def test_one_row_is_answered_as_it_is_among_many(rows, family, horizon, target):
    bundle = Bundle(manifest({family: 0.4, "boosting": 0.6}, (family,)), FILES)
    put(rows, "horizon", horizon)
    together = bundle.score(target, rows)
    for at in (0, 1, 2, 3, 40):
        alone = bundle.score(target, rows[at : at + 1])
        for name, values in alone.items():
            assert values.item() == pytest.approx(together[name][at], rel=1e-12)


@pytest.mark.parametrize(("horizon", "discount"), [(90, 0.1), (365, 0.1), (400, 0.25), (30, 1.0), (20, 0.1)])
def test_lifetime_value_is_the_discounted_money_of_each_month(rows, horizon, discount):
    parameters = BtydParameters.from_dict("bgnbd", PARAMETERS["bgnbd"])
    put(rows, "horizon", horizon)
    text = "clv" if discount == 0.1 else f"clv;discount={discount!r}"
    x, t_x, age = history(rows)
    money = expected_value(GammaGamma.from_dict(MONEY), x, rows[:, SCHEMA.index("zbar")].astype(np.float64))
    ends = [*range(30, horizon, 30), horizon]
    curve = [btyd.expected_purchases(parameters, x, t_x, age, float(end)) for end in ends]
    expected = sum(
        (now - before) * money / (1 + discount) ** (end / 365)
        for before, now, end in zip([0.0, *curve], curve, ends, strict=False)
    )
    assert pure("bgnbd").score(text, rows)["value"] == pytest.approx(expected, rel=1e-7)


def test_without_a_discount_lifetime_value_is_spend_interval_and_all(rows):
    bundle = Bundle(manifest({"bgnbd": 0.5, "boosting": 0.5}), FILES)
    for horizon in (30, 75):
        put(rows, "horizon", horizon)
        spend, value = bundle.score("spend", rows), bundle.score("clv;discount=0.0", rows)
        for name in ("value", "lower", "upper"):
            assert value[name] == pytest.approx(spend[name], rel=1e-9)


def test_members_are_weighed_levelled_and_bent(rows):
    blend = Blend({"bgnbd": 0.25, "boosting": 0.75}, {"bgnbd": 1.0}, multiplier=1.2)
    bent = replace(blend, multiplier=1.0, knots=((0.0, 0.1), (0.5, 0.4), (1.0, 0.9)))
    both = Bundle(
        manifest({"boosting": 1.0}, blends={"purchases": blend, "churn": bent, "spend": blend}), FILES
    )
    # These rows have no sequence, and the blend wants none: all its members take part.
    members = {"bgnbd": pure("bgnbd"), "boosting": Bundle(manifest({"boosting": 1.0}), FILES)}
    parts = {name: one.score("purchases", rows)["value"] for name, one in members.items()}
    expected = 1.2 * (0.25 * parts["bgnbd"] + 0.75 * parts["boosting"])
    assert both.score("purchases", rows)["value"] == pytest.approx(expected, rel=1e-12)
    chances = {name: one.score("churn", rows)["value"] for name, one in members.items()}
    mean = 0.25 * chances["bgnbd"] + 0.75 * chances["boosting"]
    straight = np.where(mean < 0.5, 0.1 + 0.6 * mean, 0.4 + (mean - 0.5))
    assert both.score("churn", rows)["value"] == pytest.approx(straight, rel=1e-12)


def test_money_of_boosting_is_the_chance_to_buy_times_the_money_of_who_buys(rows):
    spend = Bundle(manifest({"boosting": 1.0}), FILES).score("spend", rows)["value"]
    x, mean = rows[:, SCHEMA.index("x")], rows[:, SCHEMA.index("mean")]
    expected = np.where(x <= 1.5, 0.2, 0.9) * np.where(mean <= 30, 20.0, 70.0)
    assert spend == pytest.approx(expected, rel=1e-6)


def test_the_hybrid_corrects_the_leading_model_by_what_it_sees_of_it(rows):
    # Its one split is on the chance to be alive, a column that only the bundle can have added.
    alive = COLUMNS + HYBRID_COLUMNS.index("btyd_alive")
    files = {
        "boosting_btyd.purchases.onnx": trees_graph(
            stump(alive, 0.5, 0.5, 2.0, COLUMNS + len(HYBRID_COLUMNS))
        )
    }
    blends = {"purchases": Blend({"boosting_btyd": 1.0}, {"boosting_btyd": 1.0})}
    bundle = Bundle(manifest({}, blends=blends, targets=("purchases",)), files)
    parameters = BtydParameters.from_dict("bgnbd", PARAMETERS["bgnbd"])
    ratio = np.where(btyd.probability_alive(parameters, *history(rows)) <= 0.5, 0.5, 2.0)
    assert 0 < np.mean(ratio == 2.0) < 1
    expected = ratio * btyd.expected_purchases(parameters, *history(rows), 90.0)
    assert bundle.score("purchases", rows)["value"] == pytest.approx(expected, rel=1e-6)


def test_a_row_without_its_sequence_is_weighed_without_the_net(rows):
    made = manifest({"gru": 0.5, "bgnbd": 0.5}, without={"bgnbd": 1.0})
    bundle = Bundle(made, {SEQUENCE_FILE: sequence_graph()})
    alone = pure("bgnbd").score("purchases", rows)["value"]
    assert bundle.score("purchases", rows)["value"] == pytest.approx(alone, rel=1e-12)
    weeks = np.full((len(rows), WEEKS, len(CHANNELS)), 0.25, np.float32)
    weeks[:, :, 0] = np.arange(len(rows))[:, None]
    net = weeks.sum(axis=(1, 2)) + 90
    wide = bundle.score("purchases", join(rows, weeks))["value"]
    assert wide == pytest.approx(0.5 * alone + 0.5 * net, rel=1e-6)
    assert made.wants_sequence


def test_rows_of_several_horizons_are_answered_each_at_its_own(rows):
    bundle = Bundle(manifest({"bgnbd": 0.5, "boosting": 0.5}), FILES)
    mixed = put(rows.copy(), "horizon", np.resize([30, 41, 90, 700], len(rows)))
    together = bundle.score("spend", mixed)
    for at in range(8):
        alone = bundle.score("spend", mixed[at : at + 1])
        assert together["value"][at] == pytest.approx(alone["value"].item(), rel=1e-12)
        assert together["upper"][at] == pytest.approx(alone["upper"].item(), rel=1e-12)


def test_a_longer_horizon_never_brings_less_nor_a_higher_chance_of_none(rows):
    bundle = Bundle(manifest({"paretonbd": 0.5, "boosting": 0.5}, ("paretonbd",)), FILES)
    # The trees know no horizon, so between trained ones the customer's own curve alone moves the value.
    found = {}
    for days in (61, 90, 200, 730):
        put(rows, "horizon", days)
        found[days] = {target: bundle.score(target, rows)["value"] for target in TARGETS}
    for shorter, longer in ((61, 90), (90, 200), (200, 730)):
        assert (found[longer]["purchases"] > found[shorter]["purchases"]).all()
        assert (found[longer]["spend"] > found[shorter]["spend"]).all()
        assert (found[longer]["churn"] < found[shorter]["churn"]).all()


def test_a_wider_level_has_the_narrower_one_inside_and_the_value_in_both(rows):
    bundle = Bundle(manifest({"bgnbd": 0.5, "boosting": 0.5}), FILES)
    for target in ("purchases", "spend"):
        narrow, wide = (bundle.score(f"{target};level={level}", rows) for level in (0.5, 0.95))
        assert (wide["lower"] <= narrow["lower"]).all()
        assert (wide["upper"] > narrow["upper"]).all()
        assert (wide["lower"] >= 0).all()
        assert (narrow["lower"] <= narrow["value"]).all()
        assert (narrow["value"] <= narrow["upper"]).all()
        assert (narrow["value"] == wide["value"]).all()


def test_medians_have_their_own_blend_inside_the_interval_of_the_mean(rows):
    mean = Blend({"bgnbd": 1.0}, {"bgnbd": 1.0})
    median = replace(mean, knots=((0.0, 0.0), (0.5, 0.0), (2.0, 1.0)))
    bundle = Bundle(
        manifest(
            {"bgnbd": 1.0}, blends={"purchases": mean, "purchases:mae": median, "spend": mean, "churn": mean}
        ),
        {},
    )
    means, medians = bundle.score("purchases", rows), bundle.score("purchases;loss=mae", rows)
    low, high = means["value"] <= 0.5, means["value"] > 2.0
    assert low.any()
    assert high.any()
    assert (medians["value"][low] == 0).all()
    assert medians["value"][high] == pytest.approx(means["value"][high] / 2, rel=1e-12)
    assert (medians["lower"] <= medians["value"]).all()
    assert (medians["upper"] == means["upper"]).all()


def test_a_population_mean_serves_every_task_without_a_purchase_model(rows):
    rates = {"purchases_per_day": 0.01, "spend_per_day": 0.5, "churn_hazard_per_day": 0.004}
    made = manifest({"population_mean": 1.0}, (), basis="POPULATION_MEAN")
    bundle = Bundle(replace(made, btyd={"population_mean": rates}), {})
    put(rows, "horizon", 45)
    assert bundle.score("purchases", rows)["value"] == pytest.approx(0.45, rel=1e-12)
    assert bundle.score("churn", rows)["value"] == pytest.approx(np.exp(-0.18), rel=1e-12)
    discounted = 0.5 * (30 / 1.1 ** (30 / 365) + 15 / 1.1 ** (45 / 365))
    assert bundle.score("clv", rows)["value"] == pytest.approx(discounted, rel=1e-12)


@pytest.mark.parametrize("horizon", [0, 0.5, 731, 47.5])
def test_a_horizon_beyond_the_bound_is_refused_with_it(rows, horizon):
    with pytest.raises(HorizonUnsupported, match="from 1 to 730"):
        pure("bgnbd").score("purchases", put(rows, "horizon", horizon))


@pytest.mark.parametrize(
    "text", ["segments", "purchases;loss=mae", "spend;level=0.9", "spend;level=0.80", "clv;discount=2.0", ""]
)
def test_what_a_version_has_no_blend_or_interval_for_is_refused(rows, text):
    with pytest.raises(TargetUnsupported):
        pure("bgnbd").score(text, rows)


@pytest.mark.parametrize(
    ("changes", "files"),
    [
        ({"btyd": {}}, {}),
        ({"btyd": {"bgnbd": {"r": 1.0}}}, {}),
        ({"blends": {"purchases": Blend({"gru": 1.0}, {"bgnbd": 1.0})}}, {}),
        ({"blends": {"purchases": Blend({"oracle": 1.0}, {"bgnbd": 1.0})}}, {}),
        ({"blends": {"purchases": Blend({"gru": 1.0}, {"bgnbd": 1.0})}}, {SEQUENCE_FILE: b"no graph"}),
    ],
)
def test_a_version_without_what_its_weights_promise_is_not_loaded(changes, files):
    with pytest.raises(ArtifactCorrupt):
        Bundle(manifest({"bgnbd": 1.0}, **changes), files)


def test_a_lineup_is_warmed_and_says_what_it_holds():
    bundle = Bundle(manifest({"bgnbd": 0.5, "boosting": 0.5}), FILES)
    bundle.warm()
    assert bundle.memory_bytes > sum(map(len, FILES.values()))
