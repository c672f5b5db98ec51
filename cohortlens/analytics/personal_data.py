"""What the analytics slice holds of one customer: predictions, segments, answers of challengers."""

from __future__ import annotations

from cohortlens.core.db import Database
from cohortlens.core.personal_data import PersonalTable, TableStore
from cohortlens.customers.personal_data import features_of

_INTERNAL = frozenset({"schema_hash", "snapshot_id", "request_id"})


def analytics_store(db: Database) -> TableStore:
    """The store of stored model outputs: inferred, so a request for portability does not get them.

    Args:
        db: The database.
    """
    decoded = {"features_snapshot": features_of}
    return TableStore(
        db,
        "analytics",
        (
            PersonalTable("predictions", hidden=_INTERNAL, decoded=decoded),
            PersonalTable("segments", hidden=_INTERNAL, decoded=decoded),
            PersonalTable("shadow_predictions"),
        ),
    )
