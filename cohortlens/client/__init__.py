"""The client of the public API over gRPC, for the command line and scripts; imports only the stubs."""
