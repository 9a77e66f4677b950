"""Leases that keep replays of the same rows apart."""
