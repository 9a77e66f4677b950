"""The files that rows become."""
