"""Proposes Blueprint schemas for untracked events."""
