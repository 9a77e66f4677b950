"""Lookups of the transform: the location of an address, and the user id of a login."""
