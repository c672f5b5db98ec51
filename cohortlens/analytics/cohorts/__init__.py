"""Cohorts: who came back, how often and for how much, by when or where customers began."""
