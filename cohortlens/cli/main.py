"""The ``cohortlens`` command: a group whose commands are imported when they are called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from cohortlens import __version__

# Command -> module that holds it, so that `cohortlens --help` imports none of them.
COMMANDS = {
    "up": ("cohortlens.cli.stack", "up", "Start everything on this machine; Ctrl-C stops it."),
    "down": ("cohortlens.cli.stack", "down", "Stop everything that up started."),
    "status": ("cohortlens.cli.stack", "status", "Show what runs, where, and what is degraded."),
    "doctor": ("cohortlens.cli.stack", "doctor", "Check this machine and the settings; change nothing."),
    "demo": ("cohortlens.cli.demo", "demo", "Walk through the demo tenant and print the calls behind it."),
    "credentials": (
        "cohortlens.cli.stack",
        "credentials",
        "Show the demo tenant's log-in, or a fresh token.",
    ),
    "import": ("cohortlens.cli.data", "import_command", "Import transactions from CSV or Parquet."),
    "segment": ("cohortlens.cli.analytics", "segment", "Segment all customers, or some."),
    "predict": ("cohortlens.cli.analytics", "predict", "Predict purchases or spend of customers."),
    "predict-batch": (
        "cohortlens.cli.batch",
        "predict_batch",
        "Predict for all customers, or for the rows of a file.",
    ),
    "explain": ("cohortlens.cli.analytics", "explain", "Show why a prediction is what it is."),
    "cohorts": ("cohortlens.cli.cohorts", "cohorts", "Show who came back, how long customers stay."),
    "train": ("cohortlens.cli.analytics", "train", "Train models on the tenant's data."),
    "drift": ("cohortlens.cli.drift", "drift", "Show how far customers are from a model's training."),
    "tenant": ("cohortlens.cli.tenants", "tenant", "Make and list the tenants of this installation."),
    "billing": (
        "cohortlens.cli.billing",
        "billing",
        "Tell the payment provider the plans; show how payments stand.",
    ),
    "platform": ("cohortlens.cli.tenants", "platform", "Name the staff who suspend and resume tenants."),
    "plan": ("cohortlens.cli.plans", "plan", "Show the plans; grant tenants something beside theirs."),
    "purposes": (
        "cohortlens.cli.purposes",
        "purposes",
        "Show and change what new tenants ask customers for.",
    ),
    "mail": ("cohortlens.cli.mail", "mail", "Show the mails that the development stack kept."),
    "outbox": ("cohortlens.cli.outbox", "outbox", "Look at events that wait or died; retry or discard them."),
    "audit": ("cohortlens.cli.audit", "audit", "Export the audit log; verify an export without a database."),
    "web3": (
        "cohortlens.cli.web3",
        "web3",
        "Show the web3 sidecar's chains; let a stopped signer sign again.",
    ),
    "migrate": ("cohortlens.cli.stack", "migrate", "Bring the database to the newest revision."),
    "keys": ("cohortlens.cli.keys", "keys", "Show and change the key of the stored secrets."),
    "seed": ("cohortlens.cli.stack", "seed", "Make the demo tenant ready in a running stack."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of all commands, in the order of first use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and give the command; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        # click's mark of a paragraph that keeps its lines is a backspace, which raw docstrings spell out.
        for one in (command, *getattr(command, "commands", {}).values()):
            one.help = (one.help or "").replace("\\b", "\b")
        return command

    def main(self, args: Sequence[str] | None = None, **options: Any) -> Any:  # type: ignore[override]
        """Run a command; with ``--json`` a wrong command line is answered by one JSON document too."""
        given = list(sys.argv[1:] if args is None else args)
        if "--json" not in given or not options.get("standalone_mode", True):
            return super().main(given, **options)
        try:
            sys.exit(super().main(given, **options | {"standalone_mode": False}))
        except click.UsageError as error:
            _refuse(given, error)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


def _refuse(given: list[str], error: click.UsageError) -> NoReturn:
    from cohortlens.cli.output import Fault, Output  # noqa: PLC0415 - `cohortlens --help` needs none of it

    command = next((word for word in given if word in COMMANDS), "")
    where = error.ctx.command_path if error.ctx else "cohortlens"
    Output(command, as_json=True).fail(
        Fault("USAGE_INVALID", error.format_message(), f"{where} --help", "INVALID_ARGUMENT")
    )


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cohortlens")
def main() -> None:
    """CohortLens: segments, predictions and explanations of your customers."""
