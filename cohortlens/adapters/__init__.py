"""The ports of the slices made real."""
