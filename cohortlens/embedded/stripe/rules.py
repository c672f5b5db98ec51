"""Knobs: what goes wrong on purpose, for requests and for webhooks; kept in the state, used up by count."""

from __future__ import annotations

import fnmatch
from typing import Any

from cohortlens.embedded.stripe.faults import Refusal
from cohortlens.embedded.stripe.store import Store

Rule = dict[str, Any]
WEBHOOK_EFFECTS: dict[str, type | tuple[type, ...]] = {
    "drop": bool,
    "hold": bool,
    "delay": (int, float),
    "duplicate": int,
    "wrong_secret": bool,
    "time_offset": int,
    "livemode": bool,
    "account": str,
    "api_version": str,
    "old_shape": bool,
    "tampered": bool,
}
REQUEST_EFFECTS: dict[str, type | tuple[type, ...]] = {
    "status": int,
    "wait": (int, float),
    "cut": bool,
    "after": bool,
}
_SELECTION: dict[str, type | tuple[type, ...]] = {"match": str, "method": str, "times": int}


class Rules:
    """The rules of one kind, in order; each has a pattern, and a count when it is to end by itself.

    Args:
        store: Where they are kept.
        name: Under which name.
        effects: What a rule may do, with the kind of each value.
    """

    def __init__(self, store: Store, name: str, effects: dict[str, type | tuple[type, ...]]) -> None:
        self._store = store
        self._name = name
        self._kinds = {**_SELECTION, **effects}

    def all(self) -> list[Rule]:
        """The rules that stand."""
        return list(self._store.note(self._name) or [])

    def add(self, rule: Rule) -> list[Rule]:
        """Add one.

        Raises:
            Refusal: It has a member that means nothing here, or of another kind.
        """
        for name, value in rule.items():
            kind = self._kinds.get(name)
            if kind is None or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise Refusal(
                    f"{name} is none of {', '.join(sorted(self._kinds))}, or of another type", param=name
                )
        self._store.keep(self._name, [*self.all(), rule])
        return self.all()

    def clear(self) -> None:
        """Drop all."""
        self._store.keep(self._name, [])

    def take(self, subject: str, method: str = "") -> Rule | None:
        """The first rule that fits; one of a count is used up by one."""
        rules = self.all()
        for place, rule in enumerate(rules):
            if not fnmatch.fnmatchcase(subject, rule.get("match", "*")):
                continue
            if rule.get("method", method) != method:
                continue
            if "times" in rule:
                left = rule["times"] - 1
                rules[place : place + 1] = [{**rule, "times": left}] if left > 0 else []
                self._store.keep(self._name, rules)
            return rule
        return None
