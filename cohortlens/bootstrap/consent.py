"""Wires the consent slice."""

from __future__ import annotations

from dataclasses import dataclass

from cohortlens.consent.checks import ConsentChecks
from cohortlens.consent.purposes import PurposesService
from cohortlens.consent.watch import ConsentWatch
from cohortlens.core.db import Database


@dataclass(frozen=True)
class Consent:
    """Use cases of the consent slice, one attribute per file."""

    purposes: PurposesService
    checks: ConsentChecks
    watch: ConsentWatch


def open_consent(db: Database) -> Consent:
    """Wire the consent slice; the arguments are what it stands on."""
    return Consent(checks=ConsentChecks(db), watch=ConsentWatch(db), purposes=PurposesService(db))
