"""What billing writes to the owners of a tenant, in English and Spanish, and to the installation's staff."""

from __future__ import annotations

from collections.abc import Mapping

from cohortlens.billing.notices import Words, letters
from cohortlens.billing.payments.event_types import PAYMENT_FAILED, PAYMENT_NEEDS_ACTION, TRIAL_ENDS
from cohortlens.core.mail import Letter, Links, MailTemplates

READ_ONLY = "billing_read_only"
STAFF = "billing_staff"


def add_billing_mails(templates: MailTemplates) -> None:
    """Register the templates of this module."""
    templates.add(letters(_ENGLISH) | {STAFF: _staff}, "en")
    templates.add(letters(_SPANISH), "es")


def _staff(values: Mapping[str, str], _: Links) -> Letter:
    facts = tuple(f"{name}: {value}" for name, value in sorted(values.items()) if name != "what")
    return Letter(f"Payments: {values['what']}", (f"The payment provider tells: {values['what']}.", *facts))


_ENGLISH = {
    TRIAL_ENDS: Words(
        "Your trial ends soon",
        (
            "The trial of the plan {plan} for {name} ends on {date}.",
            "After that the card on file is charged. Without one that payment fails, and after a time of"
            " grace data can only be read.",
        ),
        "See plan and card",
    ),
    PAYMENT_FAILED: Words(
        "A payment did not go through",
        (
            "The invoice {number} over {amount} for {name} could not be paid.",
            "Everything goes on until {date}; after that data can be read but not changed.",
        ),
        "Pay or change the card",
    ),
    PAYMENT_NEEDS_ACTION: Words(
        "Your bank wants you to confirm a payment",
        ("The invoice {number} over {amount} for {name} waits until you confirm it.",),
        "Confirm the payment",
    ),
    READ_ONLY: Words(
        "You can only read for now",
        (
            "An invoice for {name} is still unpaid, so data can be read, exported and deleted,"
            " and nothing else, until it is paid.",
            "It ends by itself with the payment.",
        ),
        "Pay the invoice",
    ),
}
_SPANISH = {
    TRIAL_ENDS: Words(
        "Tu prueba termina pronto",
        (
            "La prueba del plan {plan} de {name} termina el {date}.",
            "Después se cobra a la tarjeta guardada. Sin tarjeta ese pago falla y, tras un plazo de gracia,"
            " los datos solo se pueden leer.",
        ),
        "Ver plan y tarjeta",
    ),
    PAYMENT_FAILED: Words(
        "Un pago no se ha completado",
        (
            "No se ha podido cobrar la factura {number} de {amount} de {name}.",
            "Todo sigue igual hasta el {date}; después los datos se pueden leer pero no cambiar.",
        ),
        "Pagar o cambiar la tarjeta",
    ),
    PAYMENT_NEEDS_ACTION: Words(
        "Tu banco te pide confirmar un pago",
        ("La factura {number} de {amount} de {name} espera a que la confirmes.",),
        "Confirmar el pago",
    ),
    READ_ONLY: Words(
        "Por ahora solo puedes leer",
        (
            "Una factura de {name} sigue sin pagar: los datos se pueden leer, exportar y borrar,"
            " y nada más, hasta que se pague.",
            "Termina solo con el pago.",
        ),
        "Pagar la factura",
    ),
}
