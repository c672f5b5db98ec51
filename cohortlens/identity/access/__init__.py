"""Whether a credential still holds: access tokens, the keys that sign them, what makes them refused early."""
