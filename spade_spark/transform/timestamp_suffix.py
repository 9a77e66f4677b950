"""How a ``receivedAt`` ends, of which the first 20 characters are known by a memo of seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

WHOLE_SECOND: Final = len("2006-01-02T15:04:05Z")
"""As many characters as a time without a fraction, or a second and the dot behind it."""
_DIGITS: Final = b"0123456789"


def check_utc_suffix(at: str) -> None:
    """Raises ValueError unless ``at`` ends in ``Z``, after a fraction's digits if it has one."""
    fraction = at[WHOLE_SECOND:-1].isdigit() and at.isascii()
    if not (fraction or len(at) == WHOLE_SECOND) or at[-1] != "Z":
        raise ValueError("another form of time")


def all_have_fraction_suffix(times: Sequence[str]) -> bool:
    """Whether all ``times`` pass :func:`check_utc_suffix` and have a fraction.

    Faster than checking each of them.

    Holds for times that begin with a second and a dot, which is for the caller to see to. What is
    left of them without their digits is then as below only if behind each dot there is one ``Z``
    and nothing else, which has to end the time and to follow a digit.
    """
    text = "\n".join(times) + "\n"
    if not text.isascii():
        return False
    data = text.encode()
    ended = data.count(b"Z\n") == len(times) and b".Z" not in data
    return ended and data.translate(None, _DIGITS) == b"--T::.Z\n" * len(times)
