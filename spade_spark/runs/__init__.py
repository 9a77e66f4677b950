"""The records of runs: plan, completions, manifest, audit counts, loads."""
