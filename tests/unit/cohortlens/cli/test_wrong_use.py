"""Whatever is typed, ``--json`` answers with exactly one document, and a person with the way out."""

import io
import json

import pytest
from click.testing import CliRunner

from cohortlens.cli import session
from cohortlens.cli.data import run_import
from cohortlens.cli.errors import ApiError
from cohortlens.cli.main import main
from cohortlens.cli.output import Fault, Output
from cohortlens.v1.customers_pb2 import ImportOptions


@pytest.fixture
def cli(tmp_path, monkeypatch):
    """``cli("predict", ...)`` in a data folder of its own where nothing runs."""
    monkeypatch.setenv("COHORTLENS_DATA_DIR", str(tmp_path))

    def run(*arguments):
        return CliRunner().invoke(main, arguments, prog_name="cohortlens")

    run.folder = tmp_path
    return run


ERROR_KEYS = {"code", "reason", "message", "found", "cause", "next", "request_id", "metadata", "others"}


def document(result):
    """The one document of a command that failed; its keys do not depend on what failed."""
    assert result.stdout.count("\n") == 1
    told = json.loads(result.stdout)
    assert set(told) == {"ok", "command", "error"}
    assert set(told["error"]) == ERROR_KEYS
    return told


@pytest.mark.parametrize(
    ("arguments", "command", "named"),
    [
        (["predict", "--json", "--task", "profit"], "predict", "--task"),
        (["predict", "--json", "--bogus"], "predict", "--bogus"),
        (["import", "--json"], "import", "FILE"),
        (["forecast", "--json"], "", "forecast"),
        (["predict", "--json", "--customer", "external:4", "--timeout", "0"], "predict", "--timeout"),
        (["import", "nothing.csv", "--json", "--password-file", "x"], "import", "--email"),
    ],
)
def test_a_wrong_command_line_is_one_document_that_names_the_part(cli, arguments, command, named):
    result = cli(*arguments)
    told = document(result)
    assert result.exit_code == 2
    assert (told["ok"], told["command"]) == (False, command)
    assert told["error"]["code"] == "INVALID_ARGUMENT"
    assert named in told["error"]["message"]


def test_without_json_a_wrong_command_line_leaves_standard_output_empty(cli):
    result = cli("predict", "--task", "profit")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--task" in result.stderr


def test_a_command_without_a_stack_says_what_to_start(cli):
    told = document(cli("predict", "--customer", "external:4", "--json"))
    assert told["error"]["reason"] == "CREDENTIALS_MISSING"
    assert "cohortlens up" in told["error"]["next"]


def test_damaged_credentials_are_named_and_can_be_done_without(cli):
    (cli.folder / "credentials.json").write_text("{")
    told = document(cli("predict", "--customer", "external:4", "--json"))
    assert told["error"]["reason"] == "CREDENTIALS_DAMAGED"
    assert str(cli.folder) in told["error"]["message"]
    (cli.folder / "password").write_text("secret\n")
    account = session._account(cli.folder, "a@b.example", cli.folder / "password")
    assert (account.email, account.password) == ("a@b.example", "secret")


@pytest.mark.parametrize(("error", "code"), [(RuntimeError("inside"), 1), (KeyboardInterrupt(), 130)])
def test_a_command_that_ends_unexpectedly_is_one_document_too(cli, monkeypatch, error, code):
    def broken(*_):
        raise error

    monkeypatch.setattr(session, "open_client", broken)
    result = cli("segment", "--json")
    assert result.exit_code == code
    assert document(result)["ok"] is False
    assert "inside" not in result.stdout


def test_help_keeps_each_example_on_its_line(cli):
    lines = [line.strip() for line in cli("import", "--help").stdout.splitlines()]
    assert "cohortlens import orders.csv --dry-run" in lines
    assert "\\b" not in "".join(lines)


def test_a_field_that_the_message_names_already_is_not_told_twice():
    told = "customers[1]: no such customer"
    error = ApiError(
        "NOT_FOUND", "RESOURCE_NOT_FOUND", told, violations=[("customers[1]", "no such customer")]
    )
    assert Fault.from_api(error).message == told
    error.violations.append(("vectors", "is required"))
    assert Fault.from_api(error).message == f"{told}; vectors: is required"


def test_an_upload_that_is_cut_off_says_that_sending_it_again_does_no_harm():
    class Gone:
        def import_transactions(self, *_):
            raise ApiError("UNAVAILABLE", "SERVICE_UNREACHABLE", "nothing answers at this address")

    with pytest.raises(Fault) as caught:
        run_import(Gone(), Output("import"), ImportOptions(), io.BytesIO())
    assert caught.value.exit_code == 7
    assert "import the file again" in caught.value.next


def test_a_fault_behind_the_document_goes_to_standard_error(capsys):
    out = Output("up", as_json=True)
    out.result({"ready": True}, "ready")
    with pytest.raises(SystemExit):
        out.fail(Fault("SERVICE_NOT_READY", "gone"))
    printed = capsys.readouterr()
    assert json.loads(printed.out)["ok"] is True
    assert "SERVICE_NOT_READY" in printed.err
