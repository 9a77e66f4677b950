"""Finds marked secrets in bytes: plain, URL-encoded, base64 and hexadecimal."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class SecretMarkers:
    """Secrets by name, each with unique plain words in it.

    Only the words are searched for, because they do not change when the characters between them
    are encoded, quoted or truncated.

    Attributes:
        words: The words of each secret.
    """

    words: Mapping[str, tuple[str, ...]]

    def found_in(self, data: bytes) -> list[str]:
        """Return the names of the secrets in ``data``, which may be gzip-compressed."""
        if data.startswith(_GZIP):
            data += zlib.decompressobj(31).decompress(data)
        return [
            f"{name} ({encoding})"
            for name, words in self.words.items()
            for word in words
            for encoding, encoded in _encodings(word)
            if encoded in data
        ]


def _encodings(word: str) -> Iterator[tuple[str, bytes]]:
    yield "plain", word.encode()
    yield "URL-encoded", "".join(f"%{byte:02X}" for byte in word.encode()).encode()
    # Base64 of a word depends on its offset modulo 3. Its first and last characters also depend on
    # the neighbouring bytes.
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + word.encode()).rstrip(b"=")
        yield "base64", encoded[(offset * 4 + 2) // 3 : -1]
    yield "hexadecimal", word.encode().hex().encode()
