"""Benchmarks of the transform; see bench/README.md."""
