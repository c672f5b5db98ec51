"""``cohortlens tenant`` and ``cohortlens platform``: the operator's own commands, straight to the database.

There is no default user and nobody prints a password: each command that lets a person in shows a link that
works once, within seven days.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from cohortlens.cli import local
from cohortlens.cli.output import Fault, Output, table
from cohortlens.cli.session import guarded
from cohortlens.core.db import Database
from cohortlens.core.mail import Links
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.tenancy.invitation_mails import ACCEPT_PATH
from cohortlens.identity.tenancy.operator import Operator

ResultT = TypeVar("ResultT")


@click.group("tenant")
def tenant() -> None:
    """Make and list the tenants of this installation."""


@tenant.command("create")
@click.option("--name", required=True, help="Name of the organisation.")
@click.option("--email", required=True, help="Address of the person who will own it.")
@guarded("tenant create")
def create(out: Output, name: str, email: str) -> None:
    """Make a tenant and print the link by which its owner joins, once.

    For example: cohortlens tenant create --name "Corner Shop" --email owner@shop.example
    """
    made, token = _asked(lambda operator: operator.create_tenant(name, email))
    link = _link(token)
    out.result(
        {"tenant": str(made), "link": link},
        f"tenant {made} is made; its owner joins by this link, once, within 7 days:\n{link}",
    )


@tenant.command("list")
@guarded("tenant list")
def list_tenants(out: Output) -> None:
    """List the tenants of this installation."""
    found = _asked(lambda operator: operator.tenants())
    rows = [
        {
            "tenant": str(one.tenant_id),
            "display_name": one.display_name,
            "status": one.status,
            "users": one.users,
            "created": f"{one.created_at:%Y-%m-%d}",
            "erased_on": "" if one.erase_at is None else f"{one.erase_at:%Y-%m-%d}",
        }
        for one in found
    ]
    out.result({"tenants": rows}, _shown(rows, "no tenant yet: cohortlens tenant create"))


@click.group("platform")
def platform() -> None:
    """Name the staff of the platform, who suspend and resume tenants."""


@platform.command("add-user")
@click.option("--email", required=True, help="Address of the person.")
@guarded("platform add-user")
def add_user(out: Output, email: str) -> None:
    """Print the link by which a person joins the staff, once.

    They log in like everyone, set up an authenticator app, and log in with it: platform calls need both.
    """
    link = _link(_asked(lambda operator: operator.invite_staff(email)))
    out.result(
        {"link": link},
        f"they join by this link, once, within 7 days, and then set up an authenticator app:\n{link}",
    )


@platform.command("list-users")
@guarded("platform list-users")
def list_users(out: Output) -> None:
    """List the staff of the platform."""
    rows = [
        {
            "user": str(one.user_id),
            "email": one.email,
            "joined": f"{one.joined_at:%Y-%m-%d}",
            "last_login": "" if one.last_login_at is None else f"{one.last_login_at:%Y-%m-%d %H:%M}",
        }
        for one in _asked(lambda operator: operator.staff())
    ]
    out.result({"users": rows}, _shown(rows, "nobody yet: cohortlens platform add-user"))


@platform.command("remove-user")
@click.option("--email", required=True, help="Address of the person.")
@guarded("platform remove-user")
def remove_user(out: Output, email: str) -> None:
    """Remove somebody from the staff; their sessions end within 2 s."""
    if not _asked(lambda operator: operator.dismiss(email)):
        raise Fault(
            "RESOURCE_NOT_FOUND",
            "nobody of the staff has this address",
            "cohortlens platform list-users",
            "NOT_FOUND",
        )
    out.result({"removed": email}, f"{email} is no longer of the staff")


def _asked(ask: Callable[[Operator], Awaitable[ResultT]]) -> ResultT:
    """What the operator's use case gives."""
    return asyncio.run(_with_operator(ask))


async def _with_operator(ask: Callable[[Operator], Awaitable[ResultT]]) -> ResultT:
    config = local.config()
    keys = local.keyring(config)
    db = Database(local.jobs_url(config), 1, pooled=config.database_pooled)
    try:
        return await ask(Operator(db, TenantKeys(keys)))
    finally:
        await db.close()


def _link(token: str) -> str:
    base = local.config().public_url or local.endpoints().http
    return Links(base).to(ACCEPT_PATH, token=token)


def _shown(rows: list[dict[str, Any]], nothing: str) -> str:
    if not rows:
        return nothing
    return table([[str(value) for value in row.values()] for row in rows], list(rows[0]))
