"""``make bench-serving``: the product beside the servers a team would use instead, in one run."""
