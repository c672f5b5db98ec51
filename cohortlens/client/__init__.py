"""The client of the API: typed messages and services over gRPC, without anything of the server.

``pip install 'cohortlens[client]'``, then ``from cohortlens.client import ApiKey, CohortLens, v1``.
"""

from cohortlens.client import v1
from cohortlens.client._generated.google.protobuf import FieldMask
from cohortlens.client.calls import CallOptions
from cohortlens.client.client import BlockingCohortLens, CohortLens
from cohortlens.client.credentials import (
    ApiKey,
    FileTokenStore,
    MemoryTokenStore,
    Password,
    Tokens,
    TokenStore,
)
from cohortlens.client.errors import ApiError
from cohortlens.client.wire import Tls

__all__ = [
    "ApiError",
    "ApiKey",
    "BlockingCohortLens",
    "CallOptions",
    "CohortLens",
    "FieldMask",
    "FileTokenStore",
    "MemoryTokenStore",
    "Password",
    "Tls",
    "TokenStore",
    "Tokens",
    "v1",
]
