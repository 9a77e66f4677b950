"""The output formats: gzip TSV, Parquet and the quarantine."""
