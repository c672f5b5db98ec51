"""Pages for people: sign-in, consent, verification, reset, invitation; no script, nothing from outside."""
