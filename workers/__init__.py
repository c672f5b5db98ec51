"""The workers: Ray Serve replicas that score and explain, and the training of their models."""
