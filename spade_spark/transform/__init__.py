"""From an edge record's events to rows, as Blueprint says."""
