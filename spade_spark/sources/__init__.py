"""The raw edge logs: which objects, their lines, the records on them."""
