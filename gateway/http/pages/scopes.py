"""What a scope lets an application do, in words for the person who is asked."""

from __future__ import annotations

from typing import Final

_WORDS: Final = {
    "tenant.read": "See your organisation's name and settings",
    "tenant.write": "Change your organisation's name and settings",
    "customers.read": "See customers and their orders",
    "customers.write": "Import, change and delete customers and orders",
    "analytics.read": "See segments, predictions and explanations",
    "analytics.run": "Run segmentation and predictions",
    "reports.read": "See reports",
    "reports.run": "Make reports",
    "assistant.use": "Ask the assistant",
    "consent.read": "See customers' consents",
    "consent.write": "Record customers' consents",
    "consent.check": "Check whether a customer has consented",
    "consent.admin": "Change purposes and notices of consent",
    "billing.read": "See plan, usage and invoices",
    "users.read": "See the people of your organisation",
    "models.write": "Train and promote models",
    "marketplace.write": "Change offers on the marketplace",
    "dsar.read": "See requests of customers for their data",
    "dsar.write": "Record requests of customers for their data",
    "dsar.approve": "Approve requests of customers for their data",
    "audit.read": "See the audit log",
    "audit.export": "Export the audit log",
}


def in_words(scope: str) -> str:
    """The sentence of a scope; the scope itself where there is none."""
    return _WORDS.get(scope, scope)
