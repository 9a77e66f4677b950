"""Experiments on a replay: whatever dies, answers late or is typed wrong, no row is lost.

``python -m tests.chaos`` does all of them; ``tests/chaos/test_chaos.py`` a part.
"""
