"""What identity writes to people: the templates of its mails, in English and Spanish.

Each is a function of the values that were queued and gives a ``Letter``. Names that strangers choose, such as
that of an organisation, go through ``shown_name``, so nobody can send words of their own in our name.
"""

from __future__ import annotations

from collections.abc import Mapping

from cohortlens.core.mail import Letter, Links, MailTemplates, Template, shown_name

VERIFY_EMAIL = "verify_email"
ACCOUNT_EXISTS = "account_exists"
RESET_PASSWORD = "reset_password"  # noqa: S105 - a name
NO_ACCOUNT = "no_account"
SIGN_IN_CODE = "sign_in_code"
REFRESH_REUSED = "refresh_reused"
PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a name
SECOND_FACTOR_CHANGED = "second_factor_changed"

VERIFY_PATH = "/auth/verify-email"
RESET_PATH = "/auth/reset-password"


def add_mails(templates: MailTemplates) -> None:
    """Register the templates of this module."""
    templates.add(_ENGLISH, "en")
    templates.add(_SPANISH, "es")


def _verify_en(values: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "Confirm your e-mail address",
        (
            f"Somebody, we hope you, registered {shown_name(values['name'])} with this address.",
            "Confirm that it is yours; the account is made when you do.",
        ),
        links.to(VERIFY_PATH, token=values["token"]),
        "Confirm the address",
        closing=(
            "The link works once, within 24 hours.",
            "If it was not you, do nothing: no account is made without the link.",
        ),
    )


def _verify_es(values: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "Confirma tu dirección de correo",
        (
            f"Alguien, esperamos que tú, ha registrado {shown_name(values['name'])} con esta dirección.",
            "Confirma que es tuya; la cuenta se crea al hacerlo.",
        ),
        links.to(VERIFY_PATH, token=values["token"]),
        "Confirmar la dirección",
        closing=(
            "El enlace funciona una vez, durante 24 horas.",
            "Si no has sido tú, no hagas nada: sin el enlace no se crea ninguna cuenta.",
        ),
    )


def _exists_en(values: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "You already have an account",
        (
            "Somebody, perhaps you, tried to register with this address. It has an account already, "
            "so nothing was changed.",
            "Log in as before. If you no longer know the password, choose a new one:",
        ),
        links.to(RESET_PATH, token=values["token"]),
        "Choose a new password",
        closing=("The link works once, within 30 minutes.", "If it was not you, do nothing."),
    )


def _exists_es(values: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "Ya tienes una cuenta",
        (
            "Alguien, quizá tú, ha intentado registrarse con esta dirección. Ya tiene una cuenta, "
            "así que no ha cambiado nada.",
            "Inicia sesión como siempre. Si ya no sabes la contraseña, elige una nueva:",
        ),
        links.to(RESET_PATH, token=values["token"]),
        "Elegir una contraseña nueva",
        closing=("El enlace funciona una vez, durante 30 minutos.", "Si no has sido tú, no hagas nada."),
    )


def _reset_en(values: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "Choose a new password",
        ("Somebody, we hope you, asked for a new password for this address.",),
        links.to(RESET_PATH, token=values["token"]),
        "Choose a new password",
        closing=(
            "The link works once, within 30 minutes, and ends every session.",
            "If it was not you, do nothing: the password stays as it is.",
        ),
    )


def _reset_es(values: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "Elige una contraseña nueva",
        ("Alguien, esperamos que tú, ha pedido una contraseña nueva para esta dirección.",),
        links.to(RESET_PATH, token=values["token"]),
        "Elegir una contraseña nueva",
        closing=(
            "El enlace funciona una vez, durante 30 minutos, y cierra todas las sesiones.",
            "Si no has sido tú, no hagas nada: la contraseña no cambia.",
        ),
    )


def _nobody_en(_: Mapping[str, str], __: Links) -> Letter:
    return Letter(
        "There is no account with this address",
        (
            "Somebody, perhaps you, asked for a new password for this address. It has no account here.",
            "If it was you, try the address you registered with. If not, do nothing.",
        ),
    )


def _nobody_es(_: Mapping[str, str], __: Links) -> Letter:
    return Letter(
        "No hay ninguna cuenta con esta dirección",
        (
            "Alguien, quizá tú, ha pedido una contraseña nueva para esta dirección. Aquí no tiene cuenta.",
            "Si has sido tú, prueba con la dirección con la que te registraste. Si no, no hagas nada.",
        ),
    )


def _code_en(values: Mapping[str, str], _: Links) -> Letter:
    return Letter(
        "Your log-in code",
        (
            "The password was right. As there were many attempts to log in with this address, "
            "type this code as well:",
        ),
        code=values["code"],
        closing=(
            "It works once, within 10 minutes. Nobody of ours will ever ask you for it.",
            "If you did not log in just now, somebody knows your password: change it.",
        ),
    )


def _code_es(values: Mapping[str, str], _: Links) -> Letter:
    return Letter(
        "Tu código de acceso",
        (
            "La contraseña era correcta. Como ha habido muchos intentos de acceso con esta dirección, "
            "escribe también este código:",
        ),
        code=values["code"],
        closing=(
            "Funciona una vez, durante 10 minutos. Nadie de los nuestros te lo pedirá nunca.",
            "Si no acabas de iniciar sesión, alguien conoce tu contraseña: cámbiala.",
        ),
    )


def _reused_en(_: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "You were logged out for safety",
        (
            "A token of one of your sessions was used twice. That happens when it was copied, "
            "so we ended that session on every device.",
            "Log in again. If you use one device only, change your password too.",
        ),
        links.to(RESET_PATH),
        "Ask for a new password",
    )


def _reused_es(_: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "Hemos cerrado tu sesión por seguridad",
        (
            "Un token de una de tus sesiones se ha usado dos veces. Eso ocurre cuando alguien lo copia, "
            "así que hemos cerrado esa sesión en todos los dispositivos.",
            "Inicia sesión otra vez. Si solo usas un dispositivo, cambia también la contraseña.",
        ),
        links.to(RESET_PATH),
        "Pedir una contraseña nueva",
    )


def _changed_en(_: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "Your password was changed",
        ("The password of this address was changed, and your other sessions were ended.",),
        links.to(RESET_PATH),
        "It was not me",
        closing=("If it was you, there is nothing to do.",),
    )


def _changed_es(_: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "Tu contraseña ha cambiado",
        ("La contraseña de esta dirección ha cambiado y hemos cerrado tus otras sesiones.",),
        links.to(RESET_PATH),
        "No he sido yo",
        closing=("Si has sido tú, no tienes que hacer nada.",),
    )


def _factor_en(values: Mapping[str, str], links: Links) -> Letter:
    done = "switched on" if values["state"] == "on" else "switched off"
    return Letter(
        f"Your second factor was {done}",
        (f"Codes of an authenticator app were {done} for this address; your other sessions were ended.",),
        links.to(RESET_PATH),
        "It was not me",
        closing=("If it was you, there is nothing to do.",),
    )


def _factor_es(values: Mapping[str, str], links: Links) -> Letter:
    done = "activado" if values["state"] == "on" else "desactivado"
    return Letter(
        f"Se ha {done} tu segundo factor",
        (
            f"Se han {done} los códigos de una aplicación de autenticación para esta dirección; "
            "hemos cerrado tus otras sesiones.",
        ),
        links.to(RESET_PATH),
        "No he sido yo",
        closing=("Si has sido tú, no tienes que hacer nada.",),
    )


_ENGLISH: dict[str, Template] = {
    VERIFY_EMAIL: _verify_en,
    ACCOUNT_EXISTS: _exists_en,
    RESET_PASSWORD: _reset_en,
    NO_ACCOUNT: _nobody_en,
    SIGN_IN_CODE: _code_en,
    REFRESH_REUSED: _reused_en,
    PASSWORD_CHANGED: _changed_en,
    SECOND_FACTOR_CHANGED: _factor_en,
}
_SPANISH: dict[str, Template] = {
    VERIFY_EMAIL: _verify_es,
    ACCOUNT_EXISTS: _exists_es,
    RESET_PASSWORD: _reset_es,
    NO_ACCOUNT: _nobody_es,
    SIGN_IN_CODE: _code_es,
    REFRESH_REUSED: _reused_es,
    PASSWORD_CHANGED: _changed_es,
    SECOND_FACTOR_CHANGED: _factor_es,
}
