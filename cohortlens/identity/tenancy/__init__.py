"""Tenants and the people in them: invitations, roles, deletion, the staff of the platform."""
