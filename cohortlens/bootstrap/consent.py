"""Wires the consent slice."""

from __future__ import annotations

from dataclasses import dataclass

from cohortlens.consent.acts import ConsentActs
from cohortlens.consent.checks import ConsentChecks
from cohortlens.consent.endings import ConsentEndings
from cohortlens.consent.history import ConsentHistory
from cohortlens.consent.notices import NoticesService
from cohortlens.consent.purposes import PurposesService
from cohortlens.consent.receipts import ReceiptKeys, Receipts
from cohortlens.consent.watch import ConsentWatch
from cohortlens.core.db import Database
from cohortlens.core.tenant_keys import TenantKeys


@dataclass(frozen=True)
class Consent:
    """Use cases of the consent slice, one attribute per file."""

    purposes: PurposesService
    notices: NoticesService
    acts: ConsentActs
    history: ConsentHistory
    receipts: Receipts
    endings: ConsentEndings
    checks: ConsentChecks
    watch: ConsentWatch


def open_consent(db: Database, tenant_keys: TenantKeys, receipt_keys: ReceiptKeys) -> Consent:
    """Wire the consent slice; the arguments are what it stands on."""
    receipts = Receipts(db, receipt_keys)
    return Consent(
        purposes=PurposesService(db),
        notices=NoticesService(db),
        acts=ConsentActs(db, tenant_keys, receipts),
        history=ConsentHistory(db, tenant_keys),
        receipts=receipts,
        endings=ConsentEndings(db),
        checks=ConsentChecks(db),
        watch=ConsentWatch(db),
    )
