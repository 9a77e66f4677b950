"""Spark, and the one partition that it runs many times."""
