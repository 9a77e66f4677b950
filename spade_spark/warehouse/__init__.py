"""The warehouse: Amazon Redshift, or plain PostgreSQL with the same meaning."""
