"""What was measured, and how: see bench/README.md."""
