"""Stand-ins for a machine with nothing installed: PostgreSQL, Valkey, a supervisor; never in production."""
