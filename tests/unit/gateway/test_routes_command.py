"""``python -m gateway``: the route listing and refused arguments."""

import json

from gateway import composition
from gateway.__main__ import main


def test_routes_are_listed_with_verb_template_rpc_and_policy(capsys):
    assert main(["routes", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    predict = next(row for row in rows if row["template"] == "/api/v1/predict")
    assert predict == {
        "verb": "POST",
        "template": "/api/v1/predict",
        "rpc": "cohortlens.v1.AnalyticsService/Predict",
        "access": "token",
        "scopes": ["analytics.run"],
        "class": "inference",
    }
    served = {method.full_name.lstrip("/") for method in composition.public_table(with_reflection=False)}
    by_http = {name for name in served if name.startswith(("cohortlens.", "inference."))}
    # The one stream both ways of the Open Inference Protocol has no form in HTTP.
    # Routes beside the RPCs are named by their operation, which has no slash.
    assert {row["rpc"] for row in rows if "/" in row["rpc"]} == by_http - {
        "inference.GRPCInferenceService/ModelStreamInfer"
    }
    assert main(["routes"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(rows)


def test_other_arguments_are_refused(capsys):
    assert main(["serve"]) == 2
    assert "usage" in capsys.readouterr().err


def test_every_broken_setting_is_named_at_once(capsys, monkeypatch):
    monkeypatch.setenv("COHORTLENS_GRPC_PORT", "many")
    monkeypatch.setenv("COHORTLENS_LOG_LEVEL", "loud")
    monkeypatch.setenv("COHORTLENS_GRPC_SERVER", "apache")
    assert main([]) == 2
    said = capsys.readouterr().err
    for name in ("COHORTLENS_GRPC_PORT", "COHORTLENS_LOG_LEVEL", "COHORTLENS_GRPC_SERVER"):
        assert f"SETTING_INVALID: {name}" in said
