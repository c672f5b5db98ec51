"""What owners are told of their plan: a limit is near, was passed, made the tenant read-only; a grant."""

from __future__ import annotations

from cohortlens.billing.models import Standing
from cohortlens.billing.notices import Words, letters
from cohortlens.core.mail import MailTemplates

LIMIT_NEAR = "plan_limit_near"
LIMIT_PASSED = "plan_limit_passed"
LIMIT_READ_ONLY = "plan_limit_read_only"
GRANTED = "plan_granted"


def add_plan_mails(templates: MailTemplates) -> None:
    """Register the templates of this module."""
    templates.add(letters(_ENGLISH), "en")
    templates.add(letters(_SPANISH), "es")


def values_of(standing: Standing) -> dict[str, str]:
    """What every letter of this module may say of a tenant."""
    now = standing.entitlement
    return {
        "plan": now.plan,
        "customers": f"{standing.customers:,}",
        "max_customers": f"{now.max_customers:,}",
        "users": f"{standing.users:,}",
        "max_users": "∞" if now.max_users is None else f"{now.max_users:,}",
        "read_only_on": "" if standing.read_only_at is None else f"{standing.read_only_at:%Y-%m-%d}",
    }


_ENGLISH = {
    LIMIT_NEAR: Words(
        "Your plan is nearly full",
        (
            "{name} stores {customers} of the {max_customers} customers of the plan {plan},"
            " and {users} of {max_users} users.",
            "When a limit is reached, nothing is deleted, but no more can be added.",
        ),
        "See the plans",
    ),
    LIMIT_PASSED: Words(
        "More is stored than your plan allows",
        (
            "{name} stores {customers} customers and has {users} users;"
            " the plan {plan} allows {max_customers} and {max_users}.",
            "Nothing is deleted, but nothing can be added. From {read_only_on} on you could only read.",
        ),
        "Upgrade or see what is stored",
    ),
    LIMIT_READ_ONLY: Words(
        "You can only read for now",
        (
            "For 30 days {name} has stored more than the plan {plan} allows. Reading, exporting and deleting"
            " stay open; all else opens again with a larger plan, or with less stored.",
        ),
        "Upgrade or see what is stored",
    ),
    GRANTED: Words(
        "The operator changed what your plan allows",
        ("{name} is on the plan {plan} now: {max_customers} customers, {max_users} users. Reason: {reason}",),
        "See your plan",
    ),
}
_SPANISH = {
    LIMIT_NEAR: Words(
        "Tu plan está casi lleno",
        (
            "{name} guarda {customers} de los {max_customers} clientes del plan {plan},"
            " y {users} de {max_users} usuarios.",
            "Al llegar a un límite no se borra nada, pero no se puede añadir más.",
        ),
        "Ver los planes",
    ),
    LIMIT_PASSED: Words(
        "Hay más datos guardados de los que permite tu plan",
        (
            "{name} guarda {customers} clientes y tiene {users} usuarios;"
            " el plan {plan} permite {max_customers} y {max_users}.",
            "No se borra nada, pero no se puede añadir nada. Desde el {read_only_on} solo podrías leer.",
        ),
        "Mejorar el plan o ver lo guardado",
    ),
    LIMIT_READ_ONLY: Words(
        "Por ahora solo puedes leer",
        (
            "Desde hace 30 días {name} guarda más de lo que permite el plan {plan}. Leer, exportar y borrar"
            " sigue abierto; lo demás se abre de nuevo con un plan mayor o con menos datos.",
        ),
        "Mejorar el plan o ver lo guardado",
    ),
    GRANTED: Words(
        "El operador cambió lo que permite tu plan",
        (
            "{name} tiene ahora el plan {plan}: {max_customers} clientes, {max_users} usuarios."
            " Motivo: {reason}",
        ),
        "Ver tu plan",
    ),
}
