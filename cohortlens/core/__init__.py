"""What every slice stands on; no business words here."""
