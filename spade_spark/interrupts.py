"""Signals that interrupt the main thread, held back while a block must not be interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Delivers an interrupt only after the block.

    While a child process starts, the caller has no handle to it yet: an interrupt would leave it
    running.

    The block may set handlers; they are restored afterwards. A process that started with SIGINT
    ignored keeps it ignored, although PySpark sets its own handler. A script starts background jobs
    this way (``nohup replay.sh … &``): Ctrl-C is meant for the script, and the replay in the
    background continues. SIGTERM stops such a replay.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = {each: signal.getsignal(each) for each in SIGNALS}
    for each, handler in before.items():
        if callable(handler):
            signal.signal(each, lambda number, _frame: caught.append(number))
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        if caught:
            signal.raise_signal(caught[0])
