"""What a run keeps under its run tag: plan, completion records, manifest, ledger."""
