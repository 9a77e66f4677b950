"""Blueprint, the schema service: which properties become which columns of which table."""
