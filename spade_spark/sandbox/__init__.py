"""The embedded S3 and warehouse, with sample logs, to try a replay on."""
