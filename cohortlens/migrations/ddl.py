"""What revisions are written with: scripts of many SQL statements, and the rights on functions."""

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


def only_jobs(*functions: str) -> None:
    """Hand SECURITY DEFINER functions to cl_definer; only cl_jobs may call them, never the gateway.

    Args:
        functions: Names with the types of their arguments, such as ``app.usage_fold(integer)``.
    """
    for function in functions:
        run_script(_ONLY_JOBS.format(function=function))


_ONLY_JOBS = """
SELECT app.define('{function}');
SET LOCAL ROLE cl_definer;
REVOKE EXECUTE ON FUNCTION {function} FROM cl_app;
GRANT EXECUTE ON FUNCTION {function} TO cl_jobs;
RESET ROLE;
"""
