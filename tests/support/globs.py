"""Glob archives for tests, in all stored forms."""

from __future__ import annotations

import base64
import gzip
import json
import zlib


def deflate(text):
    """Raw DEFLATE, without a header."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, -15)
    return compressor.compress(text) + compressor.flush()


def glob(records):
    """A glob as the edge writes it."""
    return b"\x01" + deflate(b"[" + b",".join(records) + b"]")


def data_lines(globs):
    """JSON lines with one glob each."""
    return b"".join(
        json.dumps({"Data": base64.b64encode(data).decode(), "PartitionKey": "p"}).encode() + b"\n"
        for data in globs
    )


FORMS = {
    "globs": b"".join,
    "globs with line feeds": lambda globs: b"".join(data + b"\n" for data in globs),
    "globs in gzip": lambda globs: gzip.compress(b"".join(globs)),
    "lines": data_lines,
    "lines in gzip": lambda globs: gzip.compress(data_lines(globs)),
}
