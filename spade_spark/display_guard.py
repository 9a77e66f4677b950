"""Failures of a progress display: they are logged and never end the work that is displayed."""

from __future__ import annotations

import logging
from types import TracebackType

_LOG = logging.getLogger(__name__)


class DisplayGuard:
    """Logs what a display raises inside a ``with`` block; the work continues after the block.

    One guard serves any number of blocks. It warns of the first failure and logs later ones at
    level DEBUG, since a display that is updated often may fail each time.
    """

    def __init__(self) -> None:
        self._level = logging.WARNING

    def __enter__(self) -> None:
        """Enters the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Logs a failure and suppresses it; an interrupt passes."""
        # rich raises SystemExit when the terminal or pipe is closed.
        if not isinstance(error, Exception | SystemExit):
            return False
        name = type(error).__name__
        _LOG.log(
            self._level, "the progress display failed (%s: %s); the command continues", name, error
        )
        self._level = logging.DEBUG
        return True
