"""The platform's own tenant, and the key of each tenant."""

from __future__ import annotations

from cohortlens.migrations.ddl import run_script

revision = "0007_tenant_keys"
down_revision = "0006_active_models"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Mark the platform's tenant and add it."""
    run_script(_SCRIPT)


_SCRIPT = """
ALTER TABLE tenants ADD COLUMN kind text NOT NULL DEFAULT 'CUSTOMER' CHECK (kind IN ('CUSTOMER', 'PLATFORM'));
CREATE UNIQUE INDEX tenants_one_platform ON tenants (kind) WHERE kind = 'PLATFORM';
ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY;
INSERT INTO tenants (id, display_name, terms_version, kind)
  VALUES ('00000000-0000-7000-8000-000000000000', 'Platform', '-', 'PLATFORM');
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
ALTER TABLE tenant_users DROP CONSTRAINT tenant_users_role_check;
ALTER TABLE tenant_users ADD CONSTRAINT tenant_users_role_check
  CHECK (role IN ('owner', 'admin', 'analyst', 'viewer', 'platform'));
"""
