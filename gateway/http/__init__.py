"""The HTTP door: JSON and uploads in, the same interceptor chain as gRPC, JSON and NDJSON out."""
