"""The servers beside which the product is measured; each runs in an environment of its own."""
