"""The doors: commands compute nothing, they ask for a result and print it."""
