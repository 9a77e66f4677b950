"""The lake: partitions that runs are published into, whole or not at all."""
