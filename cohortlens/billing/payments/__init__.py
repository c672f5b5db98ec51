"""What the payment provider tells, and what follows from it; no vendor library in here."""
