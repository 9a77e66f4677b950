"""Warehouse dialects: Amazon Redshift and PostgreSQL."""
