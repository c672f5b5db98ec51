"""Several gateway processes behind the same two ports."""
