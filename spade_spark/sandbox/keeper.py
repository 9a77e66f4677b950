"""Runs a program that ends with our parent: ``python -m spade_spark.sandbox.keeper PROGRAM …``."""

from __future__ import annotations

import signal
import sys

from spade_spark.sandbox.children import start_kept

if __name__ == "__main__":
    sys.exit(start_kept(sys.argv[1:], stop=signal.SIGINT).wait())
