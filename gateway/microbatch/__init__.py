"""Rows of concurrent calls gathered into batches for the replicas."""

from gateway.microbatch.batcher import MicroBatcher
from gateway.microbatch.lane import BatchLimits

__all__ = ["BatchLimits", "MicroBatcher"]
