"""Transform edge records to rows as Blueprint specifies."""
