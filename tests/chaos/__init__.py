"""Fault injection: whatever fails during a command, no row is lost or duplicated.

``python -m tests.chaos`` runs all experiments; ``tests/chaos/test_chaos.py`` runs a sample.
"""
