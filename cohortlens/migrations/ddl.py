"""Run a script of many SQL statements inside a revision."""

from __future__ import annotations

from alembic import op
from sqlalchemy.util import await_only


def run_script(script: str) -> None:
    """Send ``script`` as it stands, in the transaction of the migration.

    The driver prepares what SQLAlchemy sends, and PostgreSQL prepares one statement at a time; a script goes
    through the simple protocol instead, so functions and policies are written as plain SQL.
    """
    connection = op.get_bind()
    connection.exec_driver_sql("SELECT 1")  # the driver begins its transaction with its first statement
    driver = connection.connection.driver_connection
    assert driver is not None
    await_only(driver.execute(script))
