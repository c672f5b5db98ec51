"""Leaves an entry in the access log of calls that read about customers, and of calls that are refused.

What a request names is found by the fields of its message, once per method at start. A call that need not be
noted pays for one look at its policy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from cohortlens.audit.access import Access, AccessNotes
from cohortlens.core.context import Principal
from cohortlens.core.errors import Code, CohortLensError, Unauthenticated, Unavailable
from cohortlens.v1 import common_pb2
from gateway.interceptors.chain import Call, MethodInfo, Proceed
from gateway.wire.vectors import VectorRequest

REFUSED = "gateway.call.refused"
"""Action of a refused call whose method has none of its own."""

RETRY_S = 1.0
_CUSTOMERS = ("customer", "customers")
_VECTORS = "vectors"
_RULES: Any = common_pb2.rules  # generated as a bare FieldDescriptor, which the type stubs do not index
_NAMED_MAX = 20


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a request of one method names.

    Attributes:
        customers: Field that names customers; empty for none.
        is_repeated: Whether that field is a list.
        may_name_none: Whether a request may bring vectors instead, which are nobody's.
        identifiers: Fields that name other things.
    """

    customers: str = ""
    is_repeated: bool = False
    may_name_none: bool = False
    identifiers: tuple[str, ...] = ()

    def customers_of(self, request: Any) -> list[str]:
        """The customers a request names."""
        if not self.customers or request is None:
            return []
        named = getattr(request, self.customers)
        return list(named) if self.is_repeated else [named] if named else []

    def resource_of(self, request: Any) -> str:
        """The other things a request names."""
        if request is None:
            return ""
        named = ((name, getattr(request, name)) for name in self.identifiers)
        return " ".join(f"{name}/{str(value)[:64]}" for name, value in named if value)


class AccessStep:
    """Notes calls.

    Args:
        log: Where entries go; None in a process that keeps no access log (tests of other steps).
        clock_ns: Nanoseconds since 1970.
    """

    def __init__(self, log: AccessNotes | None, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._log = log
        self._clock_ns = clock_ns
        self._plans: dict[str, _Plan] = {}

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Run the rest, then note it if its method or its end asks for that.

        Raises:
            Unavailable: ACCESS_LOG_BEHIND: the call must be noted, and too many entries wait to be stored.
        """
        log = self._log
        if log is None:
            await proceed(call)
            return
        action = call.method.policy.audit_action
        if action and log.is_full:
            raise Unavailable(
                "too many reads wait to be noted in the access log; try again a little later",
                reason="ACCESS_LOG_BEHIND",
                retry_delay_s=RETRY_S,
            )
        try:
            await proceed(call)
        except CohortLensError as error:
            self._failed(log, call, error)
            raise
        except BaseException:
            if action and call.method.server_streaming:
                self._note(log, call, call.principal, "FAILED", "")
            raise
        if action:
            self._note(log, call, call.principal, "OK", "")

    def _failed(self, log: AccessNotes, call: Call, error: CohortLensError) -> None:
        plan = self._plan(call.method)
        principal = call.principal
        if error.code is Code.PERMISSION_DENIED or (
            error.code is Code.NOT_FOUND and (plan.customers or plan.identifiers)
        ):
            self._note(log, call, principal, "DENIED", error.reason)
        elif isinstance(error, Unauthenticated) and isinstance(error.principal, Principal):
            self._note(log, call, error.principal, "DENIED", error.reason)
        elif call.method.policy.audit_action and call.method.server_streaming:
            # Part of what was asked for may have been sent before it failed.
            self._note(log, call, principal, "FAILED", error.reason)

    def _note(
        self, log: AccessNotes, call: Call, principal: Principal | None, outcome: str, reason: str
    ) -> None:
        if principal is None:
            return
        plan = self._plan(call.method)
        # Vectors that were read by hand stand beside the message of their request.
        request = call.request.message if isinstance(call.request, VectorRequest) else call.request
        customers = plan.customers_of(request)
        if plan.may_name_none and not customers and outcome == "OK":
            return
        log.note(
            Access(
                tenant_id=principal.tenant_id,
                actor=principal.actor,
                on_behalf_of=principal.acting_for,
                action=call.method.policy.audit_action or REFUSED,
                method=call.method.full_name,
                resource=plan.resource_of(request),
                customers=customers,
                outcome=outcome,
                reason=reason,
                request_id=call.request_id,
                address=call.peer,
                at_us=self._clock_ns() // 1000,
            )
        )

    def _plan(self, method: MethodInfo) -> _Plan:
        plan = self._plans.get(method.full_name)
        if plan is None:
            plan = self._plans[method.full_name] = _plan_of(method.input_class.DESCRIPTOR)
        return plan


def _plan_of(message: Any) -> _Plan:
    fields = message.fields_by_name
    subject = next((name for name in _CUSTOMERS if name in fields and _is_text(fields[name])), "")
    return _Plan(
        customers=subject,
        is_repeated=bool(subject) and fields[subject].is_repeated,
        may_name_none=bool(subject) and _VECTORS in fields,
        identifiers=tuple(name for name, field in fields.items() if _names_something(field))[:_NAMED_MAX],
    )


def _is_text(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_STRING


def _names_something(field: FieldDescriptor) -> bool:
    if field.name in (*_CUSTOMERS, "request_id") or field.is_repeated:
        return False  # a key of the request is no thing it names
    if field.type == FieldDescriptor.TYPE_STRING:
        return bool(field.GetOptions().Extensions[_RULES].uuid)
    return field.name in {"seq", "version"}
