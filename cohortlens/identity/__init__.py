"""Who is calling: tenants, users, sessions, tokens and the keys that sign them."""
