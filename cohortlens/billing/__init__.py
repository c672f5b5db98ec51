"""What a tenant pays for, what it may do for that, and what it has used."""
