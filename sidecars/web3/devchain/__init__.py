"""Chains and a store for a machine with nothing installed; never in production."""
