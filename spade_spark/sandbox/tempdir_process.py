"""The child process of :class:`~spade_spark.sandbox.services.ScratchDirectory`."""

from __future__ import annotations

import shutil
import sys

from spade_spark.sandbox.subprocesses import report_ready, wait_for_parent

if __name__ == "__main__":
    report_ready("ready")
    wait_for_parent()
    shutil.rmtree(sys.argv[1], ignore_errors=True)
