"""Mails about belonging to a tenant: the invitation, and the end of a tenant."""

from __future__ import annotations

from collections.abc import Mapping

from cohortlens.core.mail import Letter, Links, MailTemplates, Template, shown_name

INVITATION = "invitation"
TENANT_DELETED = "tenant_deleted"

ACCEPT_PATH = "/invitations/accept"
UNDELETE_PATH = "/tenant/undelete"

_ROLES_ES = {
    "owner": "propietario",
    "admin": "administrador",
    "analyst": "analista",
    "viewer": "lector",
    "platform": "plataforma",
}


def add_invitation_mails(templates: MailTemplates) -> None:
    """Register the templates of this module."""
    templates.add(_ENGLISH, "en")
    templates.add(_SPANISH, "es")


def _invitation_en(values: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "You are invited",
        (f"{shown_name(values['name'])} invites you to CohortLens with the role {values['role']}.",),
        links.to(ACCEPT_PATH, token=values["token"]),
        "See the invitation",
        closing=(
            "The link works once, within 7 days.",
            "If you do not know who this is, do nothing: you join only by accepting.",
        ),
    )


def _invitation_es(values: Mapping[str, str], links: Links) -> Letter:
    role = _ROLES_ES.get(values["role"], values["role"])
    return Letter(
        "Tienes una invitación",
        (f"{shown_name(values['name'])} te invita a CohortLens con el rol {role}.",),
        links.to(ACCEPT_PATH, token=values["token"]),
        "Ver la invitación",
        closing=(
            "El enlace funciona una vez, durante 7 días.",
            "Si no sabes quién es, no hagas nada: solo te unes si aceptas.",
        ),
    )


def _deleted_en(values: Mapping[str, str], links: Links) -> Letter:
    name = shown_name(values["name"])
    return Letter(
        "A tenant of yours will be erased",
        (
            f"An owner of {name} deleted it. Nobody can use it any more, "
            f"and all its data will be erased on {values['date']} for good.",
            "Until then every owner can bring it back with e-mail address and password:",
        ),
        links.to(UNDELETE_PATH),
        "Bring it back",
        closing=("If this is what you want, do nothing.",),
    )


def _deleted_es(values: Mapping[str, str], links: Links) -> Letter:
    name = shown_name(values["name"])
    return Letter(
        "Una organización tuya se va a borrar",
        (
            f"Un propietario ha eliminado {name}. Ya nadie puede usarla, "
            f"y todos sus datos se borrarán para siempre el {values['date']}.",
            "Hasta entonces cualquier propietario puede recuperarla con su correo y su contraseña:",
        ),
        links.to(UNDELETE_PATH),
        "Recuperarla",
        closing=("Si es lo que quieres, no hagas nada.",),
    )


_ENGLISH: Mapping[str, Template] = {INVITATION: _invitation_en, TENANT_DELETED: _deleted_en}
_SPANISH: Mapping[str, Template] = {INVITATION: _invitation_es, TENANT_DELETED: _deleted_es}
