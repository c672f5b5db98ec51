"""Channels to the workers' gRPC servers with TLS of both sides; see ``cohortlens.core.tls``."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from cohortlens.adapters.lanes import OPTIONS
from cohortlens.adapters.replicas import plain_channel
from cohortlens.core.tls import MutualTls


def channels(tls: MutualTls | None) -> Callable[[str], grpc.aio.Channel]:
    """What opens a channel to a worker's address.

    Args:
        tls: Files and names; without them the channel is plain, as to a worker on loopback.

    Returns:
        A function from ``host:port`` to a channel. The files are read anew each time, so that a renewed
        certificate is used by every channel from then on.
    """
    if tls is None:
        return plain_channel
    # The address is a number that changes; the name in the certificate is what must not.
    options = (*OPTIONS, ("grpc.ssl_target_name_override", tls.worker_name))

    def open_channel(address: str) -> grpc.aio.Channel:
        authority, certificate, key = tls.read()
        credentials = grpc.ssl_channel_credentials(authority, key, certificate)
        return grpc.aio.secure_channel(address, credentials, options=options)

    return open_channel
