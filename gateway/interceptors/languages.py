"""A sentence of each failure in the caller's language, for ``google.rpc.LocalizedMessage``.

English is the language of the messages themselves. Spanish has a sentence for each reason that people meet,
and one for each code where a reason has none: what is particular to one request stays in ``message`` and the
details.
"""

from __future__ import annotations

import re
from typing import Final

from cohortlens.core.errors import Code, CohortLensError

_RANGE = re.compile(r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9]{1,8})*\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?")
_HEADER_CHARACTERS = 1024


def preferred(accept_language: str) -> str:
    """``en`` or ``es``, whichever the header likes better; empty when it wants neither.

    Args:
        accept_language: Value of ``Accept-Language`` (RFC 9110, 12.5.4); the first of equal ranges counts.
    """
    best, language = 0.0, ""
    for item in accept_language[:_HEADER_CHARACTERS].split(","):
        match = _RANGE.fullmatch(item)
        if match is None:
            continue
        name, quality = match[1].lower(), float(match[2] or 1)
        if name in {"en", "es", "*"} and quality > best:
            best, language = quality, "en" if name == "*" else name
    return language


def localized(error: CohortLensError, accept_language: str) -> tuple[str, str] | None:
    """Locale and sentence of a failure in the language that a caller asked for; None for any other."""
    if not accept_language:
        return None
    language = preferred(accept_language)
    if language == "es":
        return language, SPANISH.get(error.reason) or SPANISH_CODES[error.code]
    return (language, error.message) if language else None


SPANISH_CODES: Final[dict[Code, str]] = {
    Code.OK: "La petición se completó.",
    Code.CANCELLED: "La petición se canceló.",
    Code.UNKNOWN: "La petición falló por una causa desconocida.",
    Code.INVALID_ARGUMENT: "La petición no es válida: corrija los campos indicados.",
    Code.DEADLINE_EXCEEDED: "El plazo venció antes de que la respuesta estuviera lista.",
    Code.NOT_FOUND: "No existe lo que se pide.",
    Code.ALREADY_EXISTS: "Ya existe lo que se quiere crear.",
    Code.PERMISSION_DENIED: "No tiene permiso para esta petición.",
    Code.RESOURCE_EXHAUSTED: "Se alcanzó un límite: espere o amplíe el plan.",
    Code.FAILED_PRECONDITION: "El estado actual no permite esta petición.",
    Code.ABORTED: "Otro cambio se adelantó: lea de nuevo y repita la petición.",
    Code.OUT_OF_RANGE: "La petición está fuera del intervalo válido.",
    Code.UNIMPLEMENTED: "Este método no existe.",
    Code.INTERNAL: "Hubo un fallo interno: indique el identificador de la petición al informar de él.",
    Code.UNAVAILABLE: "El servicio no está disponible: inténtelo más tarde.",
    Code.DATA_LOSS: "Se perdieron datos.",
    Code.UNAUTHENTICATED: "Identifíquese con una credencial válida.",
}
"""One sentence for each code."""

SPANISH: Final[dict[str, str]] = {
    "ALREADY_SUBSCRIBED": "Esta cuenta ya tiene una suscripción.",
    "BATCH_QUEUE_FULL": "Hay demasiados lotes en espera: inténtelo cuando termine uno.",
    "BODY_NOT_ALLOWED": "Este método no admite cuerpo.",
    "BODY_TOO_LARGE": "El cuerpo supera el límite de tamaño.",
    "CONCURRENCY_LIMITED": "Hay demasiadas peticiones a la vez: espere a que termine alguna.",
    "CONSENT_REQUIRED": "Falta el consentimiento del cliente para esta finalidad.",
    "CUSTOMER_ERASED": "Los datos de este cliente se borraron.",
    "DEADLINE_INVALID": "El plazo indicado no es válido.",
    "DISK_FULL": "No queda espacio de almacenamiento: inténtelo más tarde.",
    "DUPLICATE_FIELD": "Un campo se indica dos veces.",
    "ETAG_MISMATCH": "El recurso cambió desde que se leyó: léalo de nuevo y repita el cambio.",
    "FEATURES_MISSING": "Faltan las variables de este cliente.",
    "FIELD_CONFLICT": "Un campo se indica en dos lugares.",
    "FIELD_INVALID": "Un campo no es válido: corrija los campos indicados.",
    "FILE_EMPTY": "El archivo está vacío.",
    "FILE_INVALID": "El archivo no se puede leer.",
    "FIRST_PARTY_ONLY": "Solo las aplicaciones propias pueden hacer esto.",
    "HEADERS_TOO_LARGE": "Las cabeceras superan el límite de tamaño.",
    "HEADER_INVALID": "Una cabecera no es válida.",
    "HISTORY_TOO_SHORT": "El historial es demasiado corto para este análisis.",
    "HORIZON_UNSUPPORTED": "Este horizonte no está disponible.",
    "IDEMPOTENCY_IN_PROGRESS": "La misma petición está en curso: espere su respuesta.",
    "IDEMPOTENCY_KEY_REUSED": "La clave de idempotencia ya se usó con otra petición.",
    "ID_INVALID": "Un identificador no es válido.",
    "IMPORT_TOO_LARGE": "La importación supera el límite de tamaño.",
    "INVALID_CREDENTIALS": "El usuario o la contraseña no son correctos.",
    "LAST_OWNER": "Una cuenta necesita al menos un propietario.",
    "LEGAL_HOLD": "Una retención legal impide este cambio.",
    "LOGIN_RATE_LIMITED": "Hubo demasiados intentos de acceso: espere antes del siguiente.",
    "MALFORMED_JSON": "El cuerpo no es JSON válido.",
    "METHOD_NOT_ALLOWED": "Esta ruta no admite ese método HTTP.",
    "METHOD_REMOVED": "Este método se retiró: la cabecera Link indica su sustituto.",
    "MFA_REQUIRED": "Hace falta un segundo factor.",
    "NOTICE_OUTDATED": "El aviso de consentimiento cambió: muestre el vigente.",
    "NOT_ACCEPTABLE": "La respuesta no existe en el formato pedido.",
    "NO_ACTIVE_MODEL": "No hay un modelo activo para esta tarea.",
    "OFFER_WITHDRAWN": "La oferta se retiró.",
    "OVERLOADED": "El servicio está sobrecargado: inténtelo en unos segundos.",
    "PAGE_TOKEN_INVALID": "El testigo de página no es válido: empiece por la primera página.",
    "PASSWORD_BREACHED": "Esta contraseña aparece en filtraciones conocidas: elija otra.",
    "PASSWORD_TOO_SHORT": "La contraseña es demasiado corta.",
    "PATH_ENCODING_INVALID": "La ruta o la consulta no están bien codificadas.",
    "PAYMENT_REFUSED": "El pago fue rechazado.",
    "PLAN_FEATURE_REQUIRED": "El plan actual no incluye esta función.",
    "PRIVACY_BUDGET_EXHAUSTED": "Se agotó el presupuesto de privacidad.",
    "PURPOSE_NOT_PERMITTED": "Esta finalidad no está permitida.",
    "QUOTA_BACKEND_UNAVAILABLE": "El cupo no se puede comprobar ahora: inténtelo más tarde.",
    "QUOTA_EXCEEDED": "Se agotó el cupo del mes.",
    "RATE_LIMITED": "Hubo demasiadas peticiones: espere antes de la siguiente.",
    "REQUEST_TIMEOUT": "El cuerpo no llegó a tiempo.",
    "RESOURCE_EXISTS": "Ya existe lo que se quiere crear.",
    "RESOURCE_NOT_FOUND": "No existe lo que se pide.",
    "ROLE_REQUIRED": "Su función en la cuenta no permite esta petición.",
    "ROUTE_NOT_FOUND": "Esta ruta no existe.",
    "SCOPE_MISSING": "A la credencial le falta un permiso.",
    "SHUTTING_DOWN": "El servidor se está deteniendo: repita la petición.",
    "STATE_TRANSITION_INVALID": "El estado actual no permite este cambio.",
    "STREAMING_NOT_SUPPORTED": "Este método solo está disponible por gRPC.",
    "SUBSCRIPTION_INACTIVE": "La suscripción no está activa.",
    "TENANT_SUSPENDED": "La cuenta está suspendida.",
    "TOKEN_EXPIRED": "La credencial caducó: renuévela.",
    "TOKEN_INVALID": "La credencial no es válida.",
    "TOKEN_REVOKED": "La credencial fue revocada.",
    "TOO_MANY_PARAMETERS": "La consulta tiene demasiados parámetros.",
    "UNKNOWN_FIELD": "El cuerpo nombra un campo que no existe.",
    "UNKNOWN_PARAMETER": "La consulta nombra un parámetro que no existe.",
    "UNSUPPORTED_MEDIA_TYPE": "El tipo o la codificación del contenido no se admiten.",
    "URI_TOO_LONG": "La ruta y la consulta superan el límite de tamaño.",
    "WEB3_UNAVAILABLE": "El servicio de cadenas no está disponible: inténtelo más tarde.",
    "WORKERS_UNAVAILABLE": "Los modelos no están disponibles ahora: inténtelo más tarde.",
}
"""One sentence for each reason that people meet."""
