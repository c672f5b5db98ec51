"""A payment provider of our own for development and tests, in the shapes of Stripe's API; it takes no money.

The real SDK talks to it by address. Loopback only, state in one SQLite file, never in production.
"""
