"""Rows of concurrent calls gathered into batches for the replicas."""
