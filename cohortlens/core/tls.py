"""TLS of both sides between the control plane and workers on other hosts: files, names, what cannot work.

The gateway and jobs call with it, the workers listen with it; standard library only, for the workers' sake.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MutualTls:
    """One side's certificate, whom it trusts, and the names both sides must show.

    Attributes:
        authority: Certificates of the authority that both sides' certificates come from, PEM.
        certificate: This side's certificate and what leads to the authority, PEM.
        key: Its private key, PEM.
        worker_name: DNS name that a worker's certificate must hold.
        caller_name: DNS name that a caller's certificate must hold.
    """

    authority: Path
    certificate: Path
    key: Path
    worker_name: str
    caller_name: str

    def read(self) -> tuple[bytes, bytes, bytes]:
        """The files now: authority, certificate, key.

        Raises:
            OSError: One cannot be read.
        """
        return self.authority.read_bytes(), self.certificate.read_bytes(), self.key.read_bytes()

    def faults(self) -> list[str]:
        """What cannot work, one sentence each; empty when all is well."""
        return file_faults("COHORTLENS_WORKER_TLS", self.authority, self.certificate, self.key)


def file_faults(prefix: str, authority: Path, certificate: Path, key: Path) -> list[str]:
    """What is wrong with the files of one side, one sentence each; empty when all is well.

    Args:
        prefix: The settings that name them are ``<prefix>_CA``, ``_CERT`` and ``_KEY``.
        authority: Certificates of the authority, PEM.
        certificate: This side's certificate, PEM.
        key: Its private key, PEM.
    """
    faults = []
    for name, path in (("CA", authority), ("CERT", certificate), ("KEY", key)):
        try:
            path.read_bytes()
        except OSError as error:
            faults.append(f"{prefix}_{name}={path}: cannot be read: {error.strerror}")
    if faults:
        return faults
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(authority)
    except (ssl.SSLError, ValueError) as error:
        faults.append(f"{prefix}_CA={authority}: holds no certificate: {_why(error)}")
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        faults.append(
            f"{prefix}_CERT={certificate}: does not go with {prefix}_KEY={key}: {_why(error)};"
            " give a certificate and its own key without a password"
        )
    return faults


def mutual_tls(
    files: tuple[Path | None, Path | None, Path | None], worker_name: str, caller_name: str
) -> MutualTls | None:
    """TLS from settings.

    Args:
        files: Authority, certificate, key.
        worker_name: See ``MutualTls``.
        caller_name: See ``MutualTls``.

    Returns:
        None when no file is set.

    Raises:
        ValueError: Some are set and others are not.
    """
    authority, certificate, key = files
    if authority is not None and certificate is not None and key is not None:
        return MutualTls(
            authority.absolute(), certificate.absolute(), key.absolute(), worker_name, caller_name
        )
    named = zip(("CA", "CERT", "KEY"), files, strict=True)
    missing = [f"COHORTLENS_WORKER_TLS_{name}" for name, path in named if path is None]
    if len(missing) < len(files):
        raise ValueError(f"{', '.join(missing)}: not set; TLS to the workers needs CA, CERT and KEY")
    return None


def _why(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error) or "not PEM"


def _no_password() -> str:
    raise ValueError("the key has a password")
