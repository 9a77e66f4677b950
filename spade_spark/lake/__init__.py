"""Publish runs to partitioned tables in a data lake, with atomic snapshots."""
