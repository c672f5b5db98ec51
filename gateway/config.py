"""The gateway's own settings, beside those that every process shares."""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cohortlens.core.config import Duration, setting
from cohortlens.core.tls import file_faults
from gateway.rate_settings import RateSettings

_MOST_PROCESSES = 256


@dataclass(frozen=True)
class GatewayConfig(RateSettings):
    """Where the gateway listens and how it stops."""

    bind: str = setting("BIND", "127.0.0.1", "address the gateway listens on")
    grpc_port: int = setting("GRPC_PORT", 50051, "port of the gRPC listener; 0 for any free one")
    http_port: int = setting("HTTP_PORT", 8080, "port of the HTTP listener; 0 for any free one")
    grpc_server: str = setting(
        "GRPC_SERVER", "h2corn", "server of the gRPC port", choices=("h2corn", "grpcio")
    )
    internal_port: int | None = setting(
        "INTERNAL_PORT",
        None,
        "port of gRPC for programs with client certificates, 0 for any free one; not served when unset",
    )
    internal_tls_ca: Path | None = setting(
        "INTERNAL_TLS_CA", None, "authority of the certificates that callers of the internal port show, PEM"
    )
    internal_tls_cert: Path | None = setting(
        "INTERNAL_TLS_CERT", None, "the gateway's certificate on the internal port, PEM"
    )
    internal_tls_key: Path | None = setting("INTERNAL_TLS_KEY", None, "private key of that certificate, PEM")
    tls_cert: Path | None = setting(
        "TLS_CERT",
        None,
        "certificate of the public ports with what leads to its authority, PEM; TLS when set",
    )
    tls_key: Path | None = setting("TLS_KEY", None, "private key of that certificate, PEM")
    cors_origins: str = setting(
        "CORS_ORIGINS",
        "",
        "origins whose pages in a browser may read answers, separated by commas; * for all",
    )
    reflection: bool | None = setting(
        "REFLECTION", None, "whether gRPC reflection is served; on when unset, never in production"
    )
    drain_delay: Duration = setting(
        "DRAIN_DELAY", Duration(0), "time between not ready and not accepting when the gateway stops"
    )
    drain_timeout: Duration = setting(
        "DRAIN_TIMEOUT", Duration(20), "time calls under way have to finish when the gateway stops"
    )
    calls_max: int = setting(
        "CALLS_MAX", 512, "unary calls under way in one process from which it sheds calls by class"
    )
    loop_lag_max: Duration = setting(
        "LOOP_LAG_MAX", Duration(0.25), "lateness of the event loop (p95 over 5 s) from which calls are shed"
    )
    share_running: int = setting(
        "SHARE_RUNNING", 32, "rows that one process works on at once while several tenants call"
    )
    share_waiting: int = setting(
        "SHARE_WAITING", 1024, "calls of one tenant that wait for its turn; more are refused"
    )
    processes: str = setting(
        "GATEWAY_PROCESSES", "1", "processes that share the two ports: a number, or auto for one per core"
    )

    def process_count(self) -> int:
        """How many processes share the ports; call ``faults`` first."""
        return len(os.sched_getaffinity(0)) if self.processes == "auto" else int(self.processes)

    def faults(self) -> list[str]:
        """What cannot work, one sentence each; empty when all is well."""
        name = f"COHORTLENS_GATEWAY_PROCESSES={self.processes!r}"
        is_number = re.fullmatch(r"\d{1,3}", self.processes) is not None
        if self.processes != "auto" and not (is_number and 1 <= int(self.processes) <= _MOST_PROCESSES):
            return [f"{name}: expected auto or a number from 1 to {_MOST_PROCESSES}"]
        if self.grpc_server == "grpcio" and self.process_count() > 1:
            return [f"{name}: expected 1, since COHORTLENS_GRPC_SERVER=grpcio cannot share its port"]
        return [
            *self._tls_faults(),
            *_origin_faults(self.cors_origins),
            *self._internal_faults(),
            *self.rate_faults(),
        ]

    def shows_reflection(self, environment: str) -> bool:
        """Whether gRPC reflection stands on the public port of an installation of this kind."""
        return environment != "production" if self.reflection is None else self.reflection

    def production_faults(self) -> list[str]:
        """What beside ``faults`` cannot be in production."""
        if self.reflection:
            return ["COHORTLENS_REFLECTION=true: production does not describe itself on its public port"]
        return []

    def tls_files(self) -> tuple[Path, Path] | None:
        """Certificate and key of the public ports; None without TLS."""
        return None if self.tls_cert is None or self.tls_key is None else (self.tls_cert, self.tls_key)

    def _tls_faults(self) -> list[str]:
        if (self.tls_cert is None) != (self.tls_key is None):
            return ["COHORTLENS_TLS_CERT and COHORTLENS_TLS_KEY must be set together"]
        files = self.tls_files()
        if files is None:
            return []
        if self.grpc_server == "grpcio":
            return ["COHORTLENS_TLS_CERT: TLS needs COHORTLENS_GRPC_SERVER=h2corn"]
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*files)
        except (OSError, ssl.SSLError) as error:
            return [f"COHORTLENS_TLS_CERT={files[0]}, COHORTLENS_TLS_KEY={files[1]}: {error.strerror}"]
        return []

    def internal_files(self) -> tuple[Path, Path, Path] | None:
        """Authority, certificate and key of the internal port; None when not all is set."""
        files = (self.internal_tls_ca, self.internal_tls_cert, self.internal_tls_key)
        if self.internal_port is None or None in files:
            return None
        authority, certificate, key = (path for path in files if path is not None)
        return authority, certificate, key

    def _internal_faults(self) -> list[str]:
        if self.internal_port is None:
            return []
        port, prefix = f"COHORTLENS_INTERNAL_PORT={self.internal_port}", "COHORTLENS_INTERNAL_TLS"
        if self.internal_port == 0 and self.process_count() > 1:
            return [f"{port}: expected a number, since several processes share it"]
        files = self.internal_files()
        if files is None:
            return [f"{port}: {prefix}_CA, {prefix}_CERT and {prefix}_KEY must all be set"]
        return file_faults(prefix, *files)


def _origin_faults(origins: str) -> list[str]:
    listed = listed_origins(origins)
    if listed == ["*"]:
        return []
    return [
        f"COHORTLENS_CORS_ORIGINS: {one!r} is no origin; expected https://host, http://host:port or * alone"
        for one in listed
        if not _is_origin(one)
    ]


def listed_origins(origins: str) -> list[str]:
    """The origins of the setting ``COHORTLENS_CORS_ORIGINS``."""
    return origins.replace(",", " ").split()


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return False
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    is_known = parts.scheme in ("https", "http") and bool(parts.hostname) and "*" not in text
    return is_known and text == f"{parts.scheme}://{host}{port}"
