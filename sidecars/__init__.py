"""Processes beside the main ones; each speaks gRPC with the control plane and keeps its own secrets."""
