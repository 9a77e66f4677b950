"""Reading the lines of gzip objects: chunks, members and corrupt data."""

import gzip
import io
import os
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spade_spark.errors import CorruptObjectError, InputError
from spade_spark.sources.gzip_lines import GzipLineReader


def read(data, chunk_bytes=1000):
    """Return the chunks up to the end or the corruption, the error message and the reader."""
    lines = GzipLineReader(io.BytesIO(data), "20171103/a.gz", chunk_bytes=chunk_bytes)
    chunks: list[bytes] = []
    try:
        chunks.extend(lines)
    except CorruptObjectError as error:
        return chunks, str(error), lines
    return chunks, "", lines


@given(
    st.lists(st.binary(max_size=300), max_size=50),
    st.lists(st.integers(0, 5000), max_size=3),
    st.integers(1, 2000),
)
def test_chunks_have_all_bytes_in_order_and_end_with_a_line_feed(lines, cuts, chunk_bytes):
    text = b"\n".join(lines)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    members = [gzip.compress(text[a:b]) for a, b in pairwise(edges)]
    chunks, error, read_lines = read(b"".join(members), chunk_bytes)
    assert not error
    assert b"".join(chunks) == text
    assert all(chunk.endswith(b"\n") for chunk in chunks[:-1])
    assert read_lines.bytes_inflated == len(text)
    assert read_lines.bytes_in == sum(map(len, members))


def test_only_line_feeds_separate_lines():
    text = b"a\rb\x0bc\x0cd\x1ce\xc2\x85f\xe2\x80\xa8g\n" * 100
    chunks, _, _ = read(gzip.compress(text), chunk_bytes=64)
    assert all(chunk.endswith(b"g\n") for chunk in chunks)


def test_the_chunk_size_is_limited_for_highly_compressed_objects():
    chunks, _, _ = read(gzip.compress(b"x\n" * 5_000_000), chunk_bytes=100_000)
    assert max(map(len, chunks)) <= 200_000


def test_a_header_with_all_optional_fields_is_read():
    raw = gzip.compress(b"a line\n")
    extra = b"\x04\x00" + b"abcd" + b"name\x00" + b"comment\x00" + b"\x00\x00"
    chunks, error, _ = read(raw[:3] + b"\x1e" + raw[4:10] + extra + raw[10:])
    assert (chunks, error) == ([b"a line\n"], "")


def corrupt_at(data, at):
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


NOISE = os.urandom(3000).hex().encode()  # compresses little, so that cuts hit lines
LINES = b"".join(NOISE[n : n + 60] + b"\n" for n in range(0, len(NOISE), 60))
VALID = gzip.compress(LINES, mtime=0)


@pytest.mark.parametrize(
    ("data", "problem", "lines"),
    [
        (b"", "it is empty", b""),
        (b"no gzip at all, but long enough", "not a gzip file: no gzip header at byte 0", b""),
        (
            b"\x01 a glob of the edge's stream",
            'at byte 0 (for globs, set input.form = "globs")',
            b"",
        ),
        (b"\x1f", "truncated", b""),
        (VALID[:-1], "truncated", LINES),
        (VALID[:-8], "truncated", LINES),
        (VALID + b"trailing garbage", "after the gzip data: no gzip header at byte", LINES),
        (VALID + VALID[:5], "truncated", LINES),
        (corrupt_at(VALID, len(VALID) - 5), "checksum", LINES),
        (corrupt_at(VALID, len(VALID) - 1), "length", LINES),
        (VALID + corrupt_at(VALID, len(VALID) - 5), "checksum", LINES + LINES),
    ],
)
def test_the_complete_lines_of_a_corrupt_object_come_before_the_error(data, problem, lines):
    chunks, error, _ = read(data)
    assert b"".join(chunks) == lines
    assert error.startswith("20171103/a.gz is corrupt")
    assert problem in error
    assert "Restore the object" in error


def test_a_truncated_object_yields_the_complete_lines_before_its_end():
    chunks, error, _ = read(VALID[: len(VALID) // 2])
    text = b"".join(chunks)
    assert "truncated" in error
    assert text.endswith(b"\n")
    assert LINES.startswith(text)
    assert len(text) > len(LINES) // 3


@settings(max_examples=300)
@given(st.integers(10, len(VALID) - 1), st.integers(1, 255))
def test_every_flipped_byte_is_detected(at, flip):
    data = VALID[:at] + bytes([VALID[at] ^ flip]) + VALID[at + 1 :]
    _, error, _ = read(data)
    assert error


def test_a_corrupt_object_is_an_input_error():
    assert issubclass(CorruptObjectError, InputError)


def test_a_line_of_50_megabytes_needs_memory_of_at_most_four_times_its_size():
    size = 50_000_000
    data = gzip.compress(b"a" * size + b"\nshort\n", 1)
    tracemalloc.start()
    chunks = list(GzipLineReader(io.BytesIO(data), "long"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(map(len, chunks)) == size + 7
    assert peak < 4 * size
