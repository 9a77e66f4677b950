"""Loading into the warehouse: Amazon Redshift, or PostgreSQL with the same semantics."""
