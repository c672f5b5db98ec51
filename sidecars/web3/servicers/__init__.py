"""The sidecar's gRPC services: convert, call, convert back."""
