"""The table of methods: everything the chain and the doors know about an RPC, read from its descriptor.

Built once at start by ``gateway/composition.py``. A method of the public API without a policy or without an
HTTP rule refuses the start, so that no call can ever reach a servicer whose access nobody has stated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from google.api import annotations_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import (
    Descriptor,
    FieldDescriptor,
    FileDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)
from google.protobuf.message import Message

from cohortlens.customers.usability import Activity
from cohortlens.v1 import common_pb2
from gateway.endings import Ending, EndingInvalidError, ending_of

# Generated as bare FieldDescriptors, which the type stubs do not index.
_POLICY: Any = common_pb2.policy
_RULES: Any = common_pb2.rules


class RateClass(IntEnum):
    """Class of work of a method, numbered as in ``cohortlens.v1.RateClass``."""

    PUBLIC = common_pb2.RATE_CLASS_PUBLIC
    AUTH_SENSITIVE = common_pb2.RATE_CLASS_AUTH_SENSITIVE
    AUTH_REFRESH = common_pb2.RATE_CLASS_AUTH_REFRESH
    READ = common_pb2.RATE_CLASS_READ
    WRITE = common_pb2.RATE_CLASS_WRITE
    INFERENCE = common_pb2.RATE_CLASS_INFERENCE
    BULK = common_pb2.RATE_CLASS_BULK
    INTERNAL = common_pb2.RATE_CLASS_INTERNAL
    PLATFORM = common_pb2.RATE_CLASS_PLATFORM


_DEADLINES_S: dict[RateClass, tuple[float, float]] = {
    RateClass.PUBLIC: (5.0, 30.0),
    RateClass.AUTH_SENSITIVE: (5.0, 30.0),
    RateClass.AUTH_REFRESH: (5.0, 30.0),
    RateClass.READ: (5.0, 30.0),
    RateClass.WRITE: (5.0, 30.0),
    RateClass.INFERENCE: (5.0, 60.0),
    RateClass.BULK: (30.0, 300.0),
    RateClass.INTERNAL: (5.0, 30.0),
    RateClass.PLATFORM: (5.0, 30.0),
}
_STREAM_DEADLINES_S = (300.0, 3600.0)


class MethodTableInvalid(Exception):
    """The public API cannot be served as declared.

    Attributes:
        faults: One sentence per fault, naming file and RPC.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Policy:
    """What the chain must know about a method before it runs.

    Attributes:
        public: Whether anyone may call it without credentials.
        rate_class: Class of work.
        scopes: Scopes the principal needs, all of them.
        feature: Entitlement of the plan; empty for none.
        errors: Reasons beside the common ones, for the reference.
        quiet: Logged at debug level (health checks).
        self_checked: Whether the servicer checks the request itself: messages that others publish declare no
            rules, and what holds for ours (numbers are finite) need not hold for them.
        platform: Whether only the staff of the platform may call it.
        audit_action: Name of the call in the access log; empty for a call that is not noted there.
        never_shed: Whether it is answered also while load is shed.
        meter: Meter of the month that it counts on; empty for a call that is not metered.
        cost: Units of its rate class that each started 100 rows weigh.
        open_read_only: Whether it stays open while its tenant may only read.
        activity: What it uses the data of customers for; empty for nothing.
    """

    public: bool
    rate_class: RateClass
    scopes: tuple[str, ...] = ()
    feature: str = ""
    errors: tuple[str, ...] = ()
    quiet: bool = False
    self_checked: bool = False
    platform: bool = False
    audit_action: str = ""
    never_shed: bool = False
    meter: str = ""
    cost: int = 1
    open_read_only: bool = False
    activity: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MethodInfo:
    """One RPC.

    Attributes:
        full_name: Path on the wire, such as ``/cohortlens.v1.AnalyticsService/Predict``.
        service: Full name of the service.
        name: Name of the RPC.
        input_class: Message class of requests.
        output_class: Message class of replies.
        client_streaming: Whether the caller sends a stream.
        server_streaming: Whether the servicer answers with a stream.
        policy: Access, class of work, scopes.
        descriptor: The method's descriptor with its options.
        default_deadline_s: Seconds a call has when the caller names none.
        max_deadline_s: Seconds a call can have at most.
        brings_secrets: Whether a request can hold a field that is marked sensitive.
        row_fields: Names of the lists whose items are the rows of a request.
        ending: When it goes; None for a method that is not deprecated.
    """

    full_name: str
    service: str
    name: str
    input_class: type[Message]
    output_class: type[Message]
    client_streaming: bool
    server_streaming: bool
    policy: Policy
    descriptor: MethodDescriptor
    default_deadline_s: float
    max_deadline_s: float
    brings_secrets: bool = False
    row_fields: tuple[str, ...] = ()
    ending: Ending | None = None

    def rows(self, request: Message) -> int:
        """Rows that a request weighs on its meter and rate class, at least 1."""
        return max(1, sum(len(getattr(request, name)) for name in self.row_fields))

    @property
    def kind(self) -> str:
        """Kind of call as metrics name it: unary, client_stream, server_stream or bidi_stream."""
        kinds = {
            (False, False): "unary",
            (True, False): "client_stream",
            (False, True): "server_stream",
            (True, True): "bidi_stream",
        }
        return kinds[self.client_streaming, self.server_streaming]


@dataclass
class MethodTable:
    """All methods a process serves, by their path on the wire."""

    methods: dict[str, MethodInfo] = field(default_factory=dict)

    def get(self, full_name: str) -> MethodInfo | None:
        """The method at ``/package.Service/Method``, or None."""
        return self.methods.get(full_name)

    def __iter__(self) -> Iterator[MethodInfo]:
        return iter(self.methods.values())

    def services(self) -> list[str]:
        """Full names of all services, sorted."""
        return sorted({method.service for method in self})

    def add_service(self, service: ServiceDescriptor, policies: Mapping[str, Policy]) -> None:
        """Add a service whose policies are stated in code (health, reflection, tests).

        Args:
            service: The service.
            policies: Policy of each RPC by name; a KeyError names a missing one.
        """
        for descriptor in service.methods:
            info = _method_info(descriptor, policies[descriptor.name])
            self.methods[info.full_name] = info

    def add_public_api(self, files: Iterable[FileDescriptor]) -> None:
        """Add every service of ``files``, with the policies of their proto options.

        Raises:
            MethodTableInvalid: An RPC lacks policy or HTTP rule, or has no proper end; all faults at once.
        """
        faults: list[str] = []
        for file in files:
            for service in file.services_by_name.values():
                for descriptor in service.methods:
                    self._add_annotated(file, descriptor, faults)
        if faults:
            raise MethodTableInvalid(faults)

    def _add_annotated(self, file: FileDescriptor, descriptor: MethodDescriptor, faults: list[str]) -> None:
        options = descriptor.GetOptions()
        where = f"{file.name}: {descriptor.full_name}"
        if not options.HasExtension(annotations_pb2.http):
            faults.append(f"{where} has no google.api.http rule")
        declared = options.Extensions[_POLICY]
        if declared.access == common_pb2.ACCESS_UNSPECIFIED:
            faults.append(f"{where} has no policy that states its access")
        elif declared.rate_class == common_pb2.RATE_CLASS_UNSPECIFIED:
            faults.append(f"{where} has no policy that states its rate class")
        elif fault := _contradiction(declared):
            faults.append(f"{where} {fault}")
        else:
            policy = Policy(
                public=declared.access == common_pb2.ACCESS_PUBLIC,
                rate_class=RateClass(declared.rate_class),
                scopes=tuple(declared.scopes),
                feature=declared.feature,
                errors=tuple(declared.errors),
                platform=declared.access == common_pb2.ACCESS_PLATFORM,
                audit_action=declared.audit_action,
                never_shed=declared.never_shed,
                meter=declared.meter,
                cost=declared.cost or 1,
                open_read_only=declared.open_read_only,
                activity=declared.activity,
            )
            try:
                info = _method_info(descriptor, policy)
            except EndingInvalidError as fault:
                faults.append(f"{where} {fault}")
            else:
                self.methods[info.full_name] = info


def _contradiction(declared: Any) -> str:
    """What of a policy could never hold; empty when it can."""
    platform = [scope for scope in declared.scopes if scope.startswith("platform.")]
    if declared.activity and declared.activity not in list(Activity):
        return f"names the activity {declared.activity}, which is none of ours"
    if declared.access == common_pb2.ACCESS_PUBLIC and declared.scopes:
        return "is public and names a scope, which would never be asked for"
    if declared.access == common_pb2.ACCESS_PLATFORM and not platform:
        return "is for the staff of the platform and names no scope platform.*"
    if declared.access != common_pb2.ACCESS_PLATFORM and platform:
        return f"names the scope {platform[0]}, which only the staff of the platform has"
    return ""


def _method_info(descriptor: MethodDescriptor, policy: Policy) -> MethodInfo:
    service = descriptor.containing_service.full_name
    default_s, max_s = _STREAM_DEADLINES_S if descriptor.server_streaming else _DEADLINES_S[policy.rate_class]
    return MethodInfo(
        full_name=f"/{service}/{descriptor.name}",
        service=service,
        name=descriptor.name,
        input_class=message_factory.GetMessageClass(descriptor.input_type),
        output_class=message_factory.GetMessageClass(descriptor.output_type),
        client_streaming=descriptor.client_streaming,
        server_streaming=descriptor.server_streaming,
        policy=policy,
        descriptor=descriptor,
        default_deadline_s=default_s,
        max_deadline_s=max_s,
        brings_secrets=any(is_sensitive(one) for one in fields_of(descriptor.input_type)),
        row_fields=tuple(one.name for one in descriptor.input_type.fields if _rules(one).counts_rows),
        ending=ending_of(descriptor),
    )


def is_sensitive(one: FieldDescriptor) -> bool:
    """Whether the value of a field must never reach a log line or an error text."""
    return bool(_rules(one).sensitive)


def _rules(one: FieldDescriptor) -> Any:
    return one.GetOptions().Extensions[_RULES]


def fields_of(descriptor: Descriptor, seen: set[str] | None = None) -> Iterator[FieldDescriptor]:
    """The fields of a message and of all messages inside it.

    Args:
        descriptor: The message.
        seen: Full names of messages to leave out; grows by those that were visited.
    """
    seen = set() if seen is None else seen
    if descriptor.full_name in seen:
        return
    seen.add(descriptor.full_name)
    for one in descriptor.fields:
        yield one
        if one.message_type is not None:
            yield from fields_of(one.message_type, seen)
