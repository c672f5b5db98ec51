"""Source, compiler settings and committed artifact of the reward token."""
