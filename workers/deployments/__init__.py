"""The Serve deployments: one class per kind of model, each with its own gRPC server."""
