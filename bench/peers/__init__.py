"""What users might write instead: simple programs for the same rows or for those of one table."""
