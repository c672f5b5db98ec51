import pytest

from cohortlens.contracts.asks import Ask, AskInvalid, ask_of, calibration_key


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (Ask("purchases"), "purchases"),
        (Ask("spend", 0.95, "mae"), "spend;level=0.95;loss=mae"),
        (Ask("clv"), "clv"),
        (Ask("clv", 0.5, "rmse", 0.0), "clv;discount=0.0;level=0.5"),
        (Ask("clv", annual_discount_ratio=1 / 3), "clv;discount=0.3333333333333333"),
        # A discount means nothing to other targets: it must not part rows that could travel together.
        (Ask("churn", annual_discount_ratio=0.4), "churn"),
    ],
)
def test_an_ask_has_one_text_which_reads_back_as_what_it_says(ask, text):
    assert ask.text() == text
    assert ask_of(text).text() == text
    assert ask_of(text).level_ratio == ask.level_ratio
    if ask.target == "clv":
        assert ask_of(text) == ask
    assert ask.is_plain == (";" not in text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "segments",
        "spend;",
        "spend;level=0.80",
        "spend;level=0.8",
        "spend;level=0.85",
        "spend;loss=mae;level=0.9",
        "spend;loss=median",
        "spend;discount=0.2",
        "clv;discount=nan",
        "clv;discount=1.5",
        "clv;discount=-0.1",
        "clv;discount=much",
        "clv;interest=0.1",
    ],
)
def test_what_is_no_canonical_ask_is_refused(text):
    with pytest.raises(AskInvalid) as refused:
        ask_of(text)
    assert refused.value.reason == "TARGET_UNSUPPORTED"


def test_lifetime_value_is_made_from_the_blend_of_spend():
    assert Ask("clv").blend == "spend"
    assert Ask("clv", loss="mae").blend == "spend:mae"
    assert Ask("churn").blend == "churn"


def test_the_key_of_an_interval_names_target_horizon_and_another_level():
    assert calibration_key("spend", 90) == "spend:90"
    assert calibration_key("purchases:mae", 30, 0.95) == "purchases:mae:30@0.95"
    assert calibration_key("spend", 90, 0.5) == "spend:90@0.5"
