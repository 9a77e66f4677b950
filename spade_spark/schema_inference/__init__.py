"""Untracked events to the Blueprint schemas that would take them."""
