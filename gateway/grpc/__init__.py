"""The gRPC door: over ASGI (the default) and over grpc.aio."""
