"""Proposals of Blueprint schemas for untracked events."""
