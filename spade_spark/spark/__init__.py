"""The transform on Spark: the driver, and the task that runs for each partition."""
