"""Reimplementations of Go standard library functions that the historic processor used (Go 1.19)."""
