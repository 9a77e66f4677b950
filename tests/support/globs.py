"""Archives of the edge's stream for tests: globs, and the forms in which they are kept."""

from __future__ import annotations

import base64
import gzip
import json
import zlib


def deflate(text):
    """Raw DEFLATE, without a header."""
    deflater = zlib.compressobj(1, zlib.DEFLATED, -15)
    return deflater.compress(text) + deflater.flush()


def glob(records):
    """A glob as the edge makes it."""
    return b"\x01" + deflate(b"[" + b",".join(records) + b"]")


def data_lines(globs):
    """JSON lines of a glob each."""
    return b"".join(
        json.dumps({"Data": base64.b64encode(each).decode(), "PartitionKey": "p"}).encode() + b"\n"
        for each in globs
    )


FORMS = {
    "globs": b"".join,
    "globs with line feeds": lambda globs: b"".join(each + b"\n" for each in globs),
    "globs in gzip": lambda globs: gzip.compress(b"".join(globs)),
    "lines": data_lines,
    "lines in gzip": lambda globs: gzip.compress(data_lines(globs)),
}
