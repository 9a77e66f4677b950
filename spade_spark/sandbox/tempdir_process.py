"""The child process of :class:`~spade_spark.sandbox.services.ScratchDirectory`."""

from __future__ import annotations

import shutil
import sys

from spade_spark.sandbox.subprocesses import announce, await_end

if __name__ == "__main__":
    announce("ready")
    await_end()
    shutil.rmtree(sys.argv[1], ignore_errors=True)
