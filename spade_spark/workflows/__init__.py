"""What the commands do, one module per workflow."""
