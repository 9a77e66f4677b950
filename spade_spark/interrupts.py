"""Delay signals that interrupt the main thread while a block must not be interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Delay an interrupt until the end of the block.

    Use it to start a child process: until the caller has a reference to the process, an interrupt
    would leave it running.

    At the end the previous handlers are restored, even if the block has set others, as PySpark
    does. A process that was started with SIGINT ignored (``nohup replay.sh … &`` in a script)
    therefore keeps ignoring Ctrl-C; SIGTERM stops it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, lambda number, _frame: received.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])
