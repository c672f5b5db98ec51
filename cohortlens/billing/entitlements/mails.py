"""What owners are told of their plan: a limit is near, was passed, made the tenant read-only; a grant."""

from __future__ import annotations

from collections.abc import Mapping

from cohortlens.core.mail import Letter, Links, MailTemplates, Template, shown_name

LIMIT_NEAR = "plan_limit_near"
LIMIT_PASSED = "plan_limit_passed"
LIMIT_READ_ONLY = "plan_limit_read_only"
GRANTED = "plan_granted"

_PATH = "/billing"


def add_plan_mails(templates: MailTemplates) -> None:
    """Register the templates of this module."""
    templates.add(_ENGLISH, "en")
    templates.add(_SPANISH, "es")


def _letter(values: Mapping[str, str], links: Links, subject: str, *lines: str, button: str) -> Letter:
    return Letter(subject, tuple(line.format_map(_Shown(values)) for line in lines), links.to(_PATH), button)


class _Shown(dict[str, str]):
    """Values as a letter may hold them: some were chosen by people."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__({name: shown_name(value) for name, value in values.items()})


def _near_en(values: Mapping[str, str], links: Links) -> Letter:
    return _letter(
        values,
        links,
        "Your plan is nearly full",
        "{name} stores {customers} of the {max_customers} customers of the plan {plan}, "
        "and {users} of {max_users} users.",
        "When a limit is reached, nothing is deleted, but no more can be added.",
        button="See the plans",
    )


def _near_es(values: Mapping[str, str], links: Links) -> Letter:
    return _letter(
        values,
        links,
        "Tu plan está casi lleno",
        "{name} guarda {customers} de los {max_customers} clientes del plan {plan}, "
        "y {users} de {max_users} usuarios.",
        "Al llegar a un límite no se borra nada, pero no se puede añadir más.",
        button="Ver los planes",
    )


def _passed_en(values: Mapping[str, str], links: Links) -> Letter:
    return _letter(
        values,
        links,
        "More is stored than your plan allows",
        "{name} stores {customers} customers and has {users} users; "
        "the plan {plan} allows {max_customers} and {max_users}.",
        "Nothing is deleted, but nothing can be added. From {read_only_on} on you could only read.",
        button="Upgrade or see what is stored",
    )


def _passed_es(values: Mapping[str, str], links: Links) -> Letter:
    return _letter(
        values,
        links,
        "Hay más datos guardados de los que permite tu plan",
        "{name} guarda {customers} clientes y tiene {users} usuarios; "
        "el plan {plan} permite {max_customers} y {max_users}.",
        "No se borra nada, pero no se puede añadir nada. Desde el {read_only_on} solo podrías leer.",
        button="Mejorar el plan o ver lo guardado",
    )


def _read_only_en(values: Mapping[str, str], links: Links) -> Letter:
    return _letter(
        values,
        links,
        "You can only read for now",
        "For 30 days {name} has stored more than the plan {plan} allows. Reading, exporting and deleting "
        "stay open; all else opens again with a larger plan, or with less stored.",
        button="Upgrade or see what is stored",
    )


def _read_only_es(values: Mapping[str, str], links: Links) -> Letter:
    return _letter(
        values,
        links,
        "Por ahora solo puedes leer",
        "Desde hace 30 días {name} guarda más de lo que permite el plan {plan}. Leer, exportar y borrar "
        "sigue abierto; lo demás se abre de nuevo con un plan mayor o con menos datos.",
        button="Mejorar el plan o ver lo guardado",
    )


def _granted_en(values: Mapping[str, str], links: Links) -> Letter:
    return _letter(
        values,
        links,
        "The operator changed what your plan allows",
        "{name} is on the plan {plan} now: {max_customers} customers, {max_users} users. Reason: {reason}",
        button="See your plan",
    )


def _granted_es(values: Mapping[str, str], links: Links) -> Letter:
    return _letter(
        values,
        links,
        "El operador cambió lo que permite tu plan",
        "{name} tiene ahora el plan {plan}: {max_customers} clientes, {max_users} usuarios. Motivo: {reason}",
        button="Ver tu plan",
    )


_ENGLISH: dict[str, Template] = {
    LIMIT_NEAR: _near_en,
    LIMIT_PASSED: _passed_en,
    LIMIT_READ_ONLY: _read_only_en,
    GRANTED: _granted_en,
}
_SPANISH: dict[str, Template] = {
    LIMIT_NEAR: _near_es,
    LIMIT_PASSED: _passed_es,
    LIMIT_READ_ONLY: _read_only_es,
    GRANTED: _granted_es,
}
