"""Model versions: which exist, which one is active, and its history."""
