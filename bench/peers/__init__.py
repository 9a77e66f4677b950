"""What a user would write instead: the same rows, or those of one table, in the obvious way."""
