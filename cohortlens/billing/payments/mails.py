"""What billing writes to the owners of a tenant, in English and Spanish, and to the installation's staff."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cohortlens.billing.payments.event_types import PAYMENT_FAILED, PAYMENT_NEEDS_ACTION, TRIAL_ENDS
from cohortlens.core.mail import Letter, Links, MailTemplates, Template, shown_name

READ_ONLY = "billing_read_only"
STAFF = "billing_staff"
BILLING_PATH = "/billing"

_Words = tuple[str, tuple[str, ...], str]


def add_billing_mails(templates: MailTemplates) -> None:
    """Register the templates of this module."""
    templates.add({name: _letter(words) for name, words in _ENGLISH.items()} | {STAFF: _staff}, "en")
    templates.add({name: _letter(words) for name, words in _SPANISH.items()}, "es")


def _letter(words: Callable[[Mapping[str, str]], _Words]) -> Template:
    def letter(values: Mapping[str, str], links: Links) -> Letter:
        subject, opening, label = words({**values, "name": shown_name(values["name"])})
        return Letter(subject, opening, links.to(BILLING_PATH), label)

    return letter


def _staff(values: Mapping[str, str], _: Links) -> Letter:
    facts = tuple(f"{name}: {value}" for name, value in sorted(values.items()) if name != "what")
    return Letter(f"Payments: {values['what']}", (f"The payment provider tells: {values['what']}.", *facts))


_ENGLISH: Mapping[str, Callable[[Mapping[str, str]], _Words]] = {
    TRIAL_ENDS: lambda v: (
        "Your trial ends soon",
        (
            f"The trial of the plan {v['plan']} for {v['name']} ends on {v['date']}.",
            "After that the card on file is charged. Without one the plan ends; your data stay.",
        ),
        "See plan and card",
    ),
    PAYMENT_FAILED: lambda v: (
        "A payment did not go through",
        (
            f"The bill {v['number']} over {v['amount']} for {v['name']} could not be paid.",
            f"Everything goes on until {v['date']}; after that data can be read but not changed.",
        ),
        "Pay or change the card",
    ),
    PAYMENT_NEEDS_ACTION: lambda v: (
        "Your bank wants you to confirm a payment",
        (f"The bill {v['number']} over {v['amount']} for {v['name']} waits until you confirm it.",),
        "Confirm the payment",
    ),
    READ_ONLY: lambda v: (
        "You can only read for now",
        (
            f"A bill for {v['name']} is still unpaid, so data can be read, exported and deleted,"
            " and nothing else, until it is paid.",
            "It ends by itself with the payment.",
        ),
        "Pay the bill",
    ),
}
_SPANISH: Mapping[str, Callable[[Mapping[str, str]], _Words]] = {
    TRIAL_ENDS: lambda v: (
        "Tu prueba termina pronto",
        (
            f"La prueba del plan {v['plan']} de {v['name']} termina el {v['date']}.",
            "Después se cobra a la tarjeta guardada. Sin tarjeta el plan termina; tus datos se conservan.",
        ),
        "Ver plan y tarjeta",
    ),
    PAYMENT_FAILED: lambda v: (
        "Un pago no se ha completado",
        (
            f"No se ha podido cobrar la factura {v['number']} de {v['amount']} de {v['name']}.",
            f"Todo sigue igual hasta el {v['date']}; después los datos se pueden leer pero no cambiar.",
        ),
        "Pagar o cambiar la tarjeta",
    ),
    PAYMENT_NEEDS_ACTION: lambda v: (
        "Tu banco te pide confirmar un pago",
        (f"La factura {v['number']} de {v['amount']} de {v['name']} espera a que la confirmes.",),
        "Confirmar el pago",
    ),
    READ_ONLY: lambda v: (
        "Por ahora solo puedes leer",
        (
            f"Una factura de {v['name']} sigue sin pagar: los datos se pueden leer, exportar y borrar,"
            " y nada más, hasta que se pague.",
            "Termina solo con el pago.",
        ),
        "Pagar la factura",
    ),
}
