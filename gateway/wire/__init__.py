"""Own code for the wire format where protobuf's objects cost too much: vectors in, columns out (ADR 0016)."""
