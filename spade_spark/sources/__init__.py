"""The edge logs: listing objects, reading their lines, decoding the records."""
