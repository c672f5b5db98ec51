"""The stand-in for Stripe and somebody who takes its webhooks."""

from tests.fixtures.fake_stripe import endpoint, fake_stripe

__all__ = ["endpoint", "fake_stripe"]
