"""One servicer per service: convert, call the use case, convert back."""
