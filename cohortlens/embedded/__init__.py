"""Stand-ins for a machine with nothing installed: PostgreSQL, Valkey and a supervisor; never in production."""
