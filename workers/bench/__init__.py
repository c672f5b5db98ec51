"""Measurements of the models on any file of transactions; each prints a table, none runs in a service."""
