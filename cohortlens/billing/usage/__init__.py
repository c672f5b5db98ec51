"""The month's quota, what was used, and who is told when it runs out."""
