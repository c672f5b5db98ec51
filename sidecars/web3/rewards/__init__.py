"""Reward tokens on chains, each minted once."""
