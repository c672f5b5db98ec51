"""CohortLens: customer analytics as a service, as far as each customer's consent allows."""

__version__ = "0.1.0"
