"""The servers beside which the product is measured; each is a script that runs in an environment of its own."""
