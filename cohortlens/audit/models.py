"""What an audit row holds, and how its bytes and its hash are made.

The canonical form is RFC 8785, so that anyone can compute the bytes again from the meaning.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

import rfc8785

from cohortlens.core.errors import InvalidArgument, NotFound, Violation

Outcome = Literal["OK", "DENIED", "FAILED"]
OUTCOMES: tuple[Outcome, ...] = ("OK", "DENIED", "FAILED")
FIRST_PREVIOUS = bytes(32)
"""What stands before the first row of a chain."""

CANONICAL_BYTES_MAX = 16_384
_ACTION = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Actor:
    """Who did it where there is no request context: jobs, log-in, the command line.

    Attributes:
        kind: What ``id`` names: user, api_key, service_account, job, system or anonymous.
        id: Identifier; the name of the job; never an address or a name of a person.
        request_id: Request it happened in; empty outside one.
        address: Network address of the caller; stored truncated.
        on_behalf_of: For whom a program acted, as ``user:<id>``; empty for nobody.
    """

    kind: str
    id: str
    request_id: str = ""
    address: str = ""
    on_behalf_of: str = ""

    def __str__(self) -> str:
        """Kind and identifier, as the log stores them."""
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True)
class AuditEntry:
    """The meaning of a row.

    Attributes:
        actor: Who did it, such as ``user:0193...``.
        on_behalf_of: For whom, if a program did; else empty.
        action: ``<slice>.<object>.<verb>``.
        resource: Path of what it was done to, such as ``users/0193...``; empty for none.
        outcome: OK, DENIED or FAILED.
        request_id: Request it happened in; empty outside one.
        address: Truncated network address of the caller; empty if unknown.
        details: More, without personal data.
    """

    actor: str
    on_behalf_of: str
    action: str
    resource: str
    outcome: str
    request_id: str
    address: str
    details: Mapping[str, Any]

    def canonical(self) -> bytes:
        """The RFC 8785 bytes.

        Raises:
            ValueError: The action, outcome or details cannot stand in the log, or the row is too long.
        """
        if not _ACTION.fullmatch(self.action):
            raise ValueError(f"an audit action reads <slice>.<object>.<verb>, not {self.action!r}")
        if self.outcome not in OUTCOMES:
            raise ValueError(f"an audit outcome is one of {', '.join(OUTCOMES)}, not {self.outcome!r}")
        try:
            written = rfc8785.dumps({**self.__dict__, "details": dict(self.details)})
        except rfc8785.CanonicalizationError as fault:
            raise ValueError(f"the details of {self.action} are no JSON: {fault}") from fault
        if len(written) > CANONICAL_BYTES_MAX:
            raise ValueError(f"the audit row of {self.action} is over {CANONICAL_BYTES_MAX} bytes")
        return written


@dataclass(frozen=True)
class ChainedRow:
    """A row as it stands in the chain.

    Attributes:
        seq: Place in the tenant's chain, from 1.
        at: When it was chained, UTC, to the microsecond; rises with ``seq``.
        previous_hash: Hash of the row before, 32 bytes.
        hash: Its own, 32 bytes.
        canonical: The bytes that were hashed.
        columns: What the table shows beside them, for filters; None where there is no table.
    """

    seq: int
    at: datetime
    previous_hash: bytes
    hash: bytes
    canonical: bytes
    columns: Mapping[str, str] | None = None

    def meaning(self) -> dict[str, Any]:
        """The fields of ``AuditEntry`` that the bytes hold.

        Raises:
            ValueError: They are no JSON object.
        """
        read = json.loads(self.canonical)
        if not isinstance(read, dict):
            raise ValueError("an audit row is a JSON object")
        return read


COLUMNS = ("actor", "on_behalf_of", "action", "resource", "outcome", "request_id")
"""The fields of ``AuditEntry`` that the table shows as columns too."""


@dataclass(frozen=True)
class Checkpoint:
    """A signed statement that a chain had a hash at a place.

    Attributes:
        seq: The place.
        hash: Hash of the row there, 32 bytes.
        at: When it was signed, UTC.
        kid: Key that signed.
        signature: Ed25519, 64 bytes.
    """

    seq: int
    hash: bytes
    at: datetime
    kid: str
    signature: bytes


class FaultKind(StrEnum):
    """What is wrong with a chain."""

    CONTENT = "CONTENT"
    LINK = "LINK"
    GAP = "GAP"
    CHECKPOINT = "CHECKPOINT"


@dataclass(frozen=True)
class ChainFault:
    """The first thing that is wrong with a chain.

    Attributes:
        seq: Where: the row, the missing row, or the row a checkpoint stands at.
        kind: CONTENT: the row is not what was hashed; LINK: it does not follow the one before; GAP: a row is
            missing or out of its place; CHECKPOINT: a signature or its hash does not hold.
        detail: One sentence for a person.
    """

    seq: int
    kind: FaultKind
    detail: str


@dataclass(frozen=True)
class ChainReport:
    """What a verification found.

    Attributes:
        from_seq: First row it looked at.
        to_seq: Last row it was to look at.
        rows: Rows that hold, up to the fault.
        checkpoints: Checkpoints that hold.
        fault: The first fault; None when everything holds.
    """

    from_seq: int
    to_seq: int
    rows: int
    checkpoints: int
    fault: ChainFault | None


class AuditRowMissing(NotFound):
    """No such row, checkpoint or export, or another tenant's; names the field of the request."""

    def __init__(self, field: str) -> None:
        violations = (Violation(field, "not found"),)
        super().__init__(f"{field}: not found", violations=violations, metadata={"field": field})


class FilterInvalid(InvalidArgument):
    """A filter that cannot be read; says where and what is expected."""

    def __init__(self, fault: str) -> None:
        super().__init__(f"filter: {fault}", violations=(Violation("filter", fault),))


class RangeInvalid(InvalidArgument):
    """A range of rows that is none."""

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field}: {fault}", violations=(Violation(field, fault),))


def microseconds(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def instant(us: int) -> datetime:
    """The time that ``microseconds`` gave, UTC."""
    return _EPOCH + us * _MICROSECOND


@functools.lru_cache(maxsize=4096)
def truncated_address(address: str) -> str:
    """The network of an address, /24 or /48: enough to see patterns, too little to name a household.

    Args:
        address: IPv4 or IPv6 address; anything else, such as a socket's path, gives an empty text.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    prefix = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network((parsed, prefix), strict=False))
