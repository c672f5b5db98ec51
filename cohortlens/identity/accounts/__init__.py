"""Accounts of people: registration, log-in, passwords, second factors."""
