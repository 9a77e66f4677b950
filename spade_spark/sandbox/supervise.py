"""Run a program that ends with the parent: ``python -m spade_spark.sandbox.supervise PROGRAM``."""

from __future__ import annotations

import signal
import sys

from spade_spark.sandbox.subprocesses import SupervisedProcess

if __name__ == "__main__":
    # SIGKILL, since the parent removes the program's files anyway.
    sys.exit(SupervisedProcess(sys.argv[1:], signal.SIGKILL).wait())
