"""Sessions: opened after a log-in, renewed by rotating refresh tokens, ended by their user or by a reuse."""
