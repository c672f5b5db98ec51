"""What consent tells the rest of the product through the outbox."""

from __future__ import annotations

CONSENT_RECORDED = "consent.event.recorded"
"""Topic: a decision was recorded, or a consent ended; the key is that of the person.

Payload: ``event_id``, ``identity_id``, ``purpose`` and ``type`` (a value of ``ActType``). Decisions that came
with an import are not told.
"""


def consent_key(identity_id: object) -> str:
    """Key of the outbox under which the events of one person keep their order."""
    return f"consent:{identity_id}"
