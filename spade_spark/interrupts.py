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

    While a child process starts, the caller does not hold it yet: an interrupt would leave it
    behind, running.

    Afterwards the handlers are those from before, whatever the block has set. A process that
    started with SIGINT ignored keeps it ignored, although PySpark sets a handler of its own. A
    script starts its background jobs so (``nohup replay.sh … &``): Ctrl-C is meant for the script,
    and the replay in the background goes on. SIGTERM stops such a replay.
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
