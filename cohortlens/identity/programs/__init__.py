"""Credentials of programs: API keys and service accounts."""
