"""How billing tells people something: letters made of words alone, to those of a tenant whom it concerns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import TenantId
from cohortlens.core.mail import Letter, Links, MailQueue, MailSealer, Template, one_line, shown_name
from cohortlens.identity.tenancy.members import Members
from cohortlens.identity.tenancy.tenant_rows import TenantRows

BILLING_PATH = "/billing"
"""The page of plan and payment, to which every letter leads."""
_TOLD_MAX = 1_000


class Words(NamedTuple):
    """A letter in one language; values stand in braces.

    Attributes:
        subject: Its subject.
        lines: Its paragraphs.
        button: What the link to the page of plan and payment is called.
    """

    subject: str
    lines: tuple[str, ...]
    button: str


def letters(words: Mapping[str, Words]) -> dict[str, Template]:
    """The templates of letters, by name."""
    return {name: _template(one) for name, one in words.items()}


def _template(words: Words) -> Template:
    def letter(values: Mapping[str, str], links: Links) -> Letter:
        # The name was chosen by strangers; nothing else was.
        shown = {
            name: shown_name(value) if name == "name" else one_line(value) for name, value in values.items()
        }
        lines = tuple(line.format_map(shown) for line in words.lines)
        return Letter(words.subject, lines, links.to(BILLING_PATH), words.button)

    return letter


async def tell(
    tx: AsyncConnection,
    tenant_id: TenantId,
    sealer: MailSealer,
    template: str,
    values: Mapping[str, str],
    roles: Sequence[str] = ("owner",),
) -> None:
    """Queue a letter to the people of the transaction's tenant who have one of the roles.

    Args:
        tx: A connection inside ``Database.tenant_transaction`` of the tenant.
        tenant_id: The tenant.
        sealer: Seals the mails.
        template: Name of the letter.
        values: What it needs; the tenant's ``name`` is added.
        roles: Whom it concerns.
    """
    tenant = await TenantRows(tx, tenant_id).get()
    told = {**values, "name": "" if tenant is None else tenant.display_name}
    queue, members = MailQueue(tx, sealer), Members(tx, tenant_id)
    for role in roles:
        for member in await members.page(role, None, _TOLD_MAX):
            await queue.put(member.email, template, told)
