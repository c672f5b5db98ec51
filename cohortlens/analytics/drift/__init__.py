"""Drift: how far customers, predictions and segments have moved from what a model version was trained on."""
