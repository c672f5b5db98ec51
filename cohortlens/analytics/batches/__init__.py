"""Batch predictions: one resource for all customers of a tenant, or for an uploaded file."""
