r"""Passes over the lines that cannot hold an event of the tables asked for, without decoding them.

A line holds its payload in base64, where three bytes become four characters: a name that stands
in the payload shows in the line as one of three texts, by its offset modulo 3. Searching a chunk
for those costs a small part of decoding it (bench/README.md).

It errs on one side only: a line passes unless it surely holds none of the names. What can hide a
name from the search, and what is done about it:

- *JSON escapes in the payload* (``\\u0061``). The search is for the longest run of letters,
  digits and the like in the name, whose only escapes begin with ``\\u00``; payloads with these
  pass.
- *Percent-encoding, and escapes in the line's own JSON* (``\\/``): lines with a ``%`` or a
  backslash pass.
- *The URL-safe alphabet, and a space for a plus*: searched for as well, where they differ.
- *A name with no long enough run*: every line passes.

White space in the base64 is one of the above (JSON forbids a bare line break), and where in the
line the payload stands, under which spelling of ``data``, and in which event of a list does not
matter.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable

_RUN = re.compile(r"[A-Za-z_]+")
"""What JSON can escape only as ``\\u00`` and a digit from 4 to 7."""

_SHORTEST = 4
"""Characters that a needle has at least; shorter ones would be found in every line."""


class Prefilter:
    """Which lines of a chunk may hold an event of one of ``names``.

    Attributes:
        passed_over: Lines that surely hold none, so far.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.passed_over = 0
        self._needles = _needles(names)

    def pass_through(self, chunk: bytes) -> bytes:
        """The lines of ``chunk`` that may hold one of the names, in order, perhaps none."""
        if self._needles is None:
            return chunk
        spans = set()
        for needle in self._needles:
            at = chunk.find(needle)
            while at >= 0:
                start = chunk.rfind(b"\n", 0, at) + 1
                end = chunk.find(b"\n", at) + 1 or len(chunk)
                spans.add((start, end))
                at = chunk.find(needle, end)
        lines = chunk.count(b"\n") + (not chunk.endswith(b"\n"))
        self.passed_over += lines - len(spans)
        return b"".join(chunk[start:end] for start, end in sorted(spans))


def _needles(names: Collection[str]) -> tuple[bytes, ...] | None:
    """What to search for, without doubles; None where no search would be sure."""
    found: dict[bytes, None] = {b"%": None, b"\\": None}
    sure = list(_spellings(b"\\u00", after=(0x34, 0x37)))
    for name in names:
        run = max(_RUN.findall(name), key=len, default="")
        spelt = list(_spellings(run.encode()))
        if min(map(len, spelt)) < _SHORTEST:
            return None
        sure += spelt
    for needle in sure:
        found |= dict.fromkeys(_alphabets(needle))
    return tuple(found)


def _spellings(text: bytes, after: tuple[int, int] = (0x00, 0xFF)) -> Iterable[bytes]:
    """The base64 characters that ``text`` surely gives, at each of the three offsets.

    ``after`` is the range that the byte after the text lies in: characters that all of it gives
    are sure as well.
    """
    for offset in range(3):
        low, high = (
            base64.b64encode(bytes([fill]) * offset + text + bytes([end]) + bytes([fill]) * 3)
            for fill, end in zip((0x00, 0xFF), after, strict=True)
        )
        same = [a == b for a, b in zip(low, high, strict=True)]
        start = same.index(True) if True in same else len(same)
        end = [*same, False].index(False, start)
        yield low[start:end]


def _alphabets(needle: bytes) -> Iterable[bytes]:
    yield needle
    yield needle.translate(bytes.maketrans(b"+/", b"-_"))
    yield needle.replace(b"+", b" ")
