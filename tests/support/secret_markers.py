"""Marked secrets, looked for in bytes: plain, URL-encoded and in base64."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Marks:
    """Secrets by name, each with plain words in it that nothing else has.

    The words, not the whole, are looked for: they stay as they are however the characters between
    them are encoded, quoted or cut.

    Attributes:
        words: The words of each secret.
    """

    words: Mapping[str, tuple[str, ...]]

    def found_in(self, data: bytes) -> list[str]:
        """The names of the secrets that ``data``, or what it inflates to, gives away."""
        if data.startswith(_GZIP):
            data += zlib.decompressobj(31).decompress(data)
        return [
            f"{name} ({how})"
            for name, words in self.words.items()
            for word in words
            for how, spelling in _spellings(word)
            if spelling in data
        ]


def _spellings(word: str) -> Iterator[tuple[str, bytes]]:
    yield "plain", word.encode()
    yield "URL-encoded", "".join(f"%{byte:02X}" for byte in word.encode()).encode()
    # In base64 a word looks different at each of three places; its first and last characters
    # there depend on what is beside it.
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + word.encode()).rstrip(b"=")
        yield "base64", encoded[(before * 4 + 2) // 3 : -1]
    yield "hexadecimal", word.encode().hex().encode()
