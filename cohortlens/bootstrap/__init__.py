"""Wires the domain: configuration in, services out; for the gateway and for jobs."""
