"""The schema of PostgreSQL as a chain of Alembic revisions."""
