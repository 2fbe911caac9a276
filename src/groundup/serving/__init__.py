"""What stands before the engine: limits, caches, balancing, and the measures of latency."""
