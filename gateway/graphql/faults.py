"""Failures as GraphQL writes them: ``message``, where, and ``extensions`` with what every door tells."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any, Final

from graphql import GraphQLError

from cohortlens.core.errors import CohortLensError, InvalidArgument, Violation
from cohortlens.core.telemetry import get_logger
from gateway.http import faults
from gateway.interceptors.errors import unexpected

_LOG = get_logger(__name__)

SYNTAX: Final = "GRAPHQL_SYNTAX_INVALID"
INVALID: Final = "GRAPHQL_DOCUMENT_INVALID"
LIMIT: Final = "GRAPHQL_LIMIT_EXCEEDED"


_ARGUMENT: Final = re.compile("Argument '([A-Za-z0-9_]+)' (?:has invalid value|of required type)")


class Failed(Exception):
    """A field whose call failed.

    Attributes:
        fault: Why, as the caller may see it.
        request_id: Identifier of the call.
    """

    def __init__(self, fault: CohortLensError, request_id: str) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.request_id = request_id


class Refused(InvalidArgument):
    """A document that is not run.

    Attributes:
        errors: What is wrong with it and where; this fault alone when empty.
    """

    def __init__(
        self, message: str, reason: str, errors: Iterable[GraphQLError] = (), **details: Any
    ) -> None:
        super().__init__(message, reason=reason, **details)
        self.errors = tuple(errors)


def invalid(errors: Iterable[GraphQLError]) -> Refused:
    """A document that the schema does not know so."""
    found = tuple(errors)
    return Refused(found[0].message, INVALID, found)


def limit(what: str, most: int, **metadata: str) -> Refused:
    """A document beyond a limit.

    Args:
        what: What there is too much of, as in "more than 10 root fields".
        most: The limit.
        metadata: What else a program may want to know.
    """
    message = f"more than {most} {what}"
    return Refused(message, LIMIT, metadata={"limit": str(most), **metadata})


def wrong_variables(found: list[tuple[str, str]]) -> Refused:
    """Variables that do not fit the types the document gives them.

    Args:
        found: Name with path, and what is expected; no values, which may be secrets.
    """
    violations = tuple(Violation(name, text) for name, text in found)
    name, text = found[0]
    return Refused(f"{name}: {text}", INVALID, violations=violations)


def argument_fault(error: GraphQLError) -> Refused | None:
    """The fault of an argument that is null where it must not be; None for an error of another kind.

    A variable with a default may stand there, and still be null: only the execution sees that.
    """
    cause = error.original_error or error
    match = _ARGUMENT.match(cause.message) if isinstance(cause, GraphQLError) else None
    return None if match is None else wrong_variables([(match[1], "must not be null")])


def written(error: GraphQLError, request_id: str) -> dict[str, Any]:
    """An error of the execution as the answer holds it; what no call raised is a fault of ours."""
    cause = error.original_error
    if isinstance(cause, Failed):
        return _entry(cause.fault, cause.request_id, error)
    refused = argument_fault(error)
    if refused is not None:
        return _entry(refused, request_id, error)
    _LOG.log(logging.ERROR, "unexpected", exc_info=cause or error, route="/graphql")
    return _entry(unexpected(), request_id, error)


def refusals(fault: CohortLensError, request_id: str) -> list[dict[str, Any]]:
    """The errors of a request that was not run."""
    if isinstance(fault, Refused) and fault.errors:
        return [_entry(fault, request_id, one, one.message) for one in fault.errors]
    return [_entry(fault, request_id)]


def _entry(
    fault: CohortLensError, request_id: str, error: GraphQLError | None = None, message: str = ""
) -> dict[str, Any]:
    document = faults.document(fault, request_id)
    entry: dict[str, Any] = {"message": message or document["message"]}
    if error is not None and error.locations:
        entry["locations"] = [{"line": one.line, "column": one.column} for one in error.locations]
    if error is not None and error.path is not None:
        entry["path"] = error.path
    entry["extensions"] = {
        "code": fault.code.name,
        "reason": fault.reason,
        "httpStatus": faults.status_of(fault),
        "requestId": request_id,
        "details": document["details"],
    }
    return entry
