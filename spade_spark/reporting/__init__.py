"""Reports, progress display and metrics."""
