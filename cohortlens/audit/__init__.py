"""What was done, by whom, for which tenant: one hash chain per tenant, signed checkpoints, exports."""
