"""Wires the consent slice."""

from __future__ import annotations

from dataclasses import dataclass

from cohortlens.consent.purposes import PurposesService
from cohortlens.core.db import Database


@dataclass(frozen=True)
class Consent:
    """Use cases of the consent slice, one attribute per file."""

    purposes: PurposesService


def open_consent(db: Database) -> Consent:
    """Wire the consent slice; the arguments are what it stands on."""
    return Consent(purposes=PurposesService(db))
