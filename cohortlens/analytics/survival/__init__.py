"""Survival: how long customers stay or take to come back, and how many will stay."""
