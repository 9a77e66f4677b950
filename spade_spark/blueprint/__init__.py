"""Blueprint, the schema service: it maps event properties to table columns."""
