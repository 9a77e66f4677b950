"""Reimplementations of Go standard library functions that the live processor used (Go 1.19)."""
