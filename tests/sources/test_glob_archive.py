"""An archive of the edge stream yields the same lines as the edge logs."""

import gzip
import io
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.errors import CorruptObjectError
from spade_spark.sources.glob_archive import GlobDeduplicator, GlobReader
from spade_spark.sources.gzip_lines import GzipLineReader
from tests.support import edge_logs
from tests.support.globs import FORMS, data_lines, deflate, glob

forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def records(first, last):
    return [edge_logs.record("login", {"n": n}, uuid=f"u-{n}") for n in range(first, last)]


ONE, TWO, THREE = records(0, 3), records(3, 4), records(4, 9)


class ReadResult:
    """The result of reading an object with GlobReader."""

    def __init__(self, data, deduplicator=None, chunk_bytes=1000):
        self.reader = GlobReader(
            io.BytesIO(data),
            "20171103/a",
            deduplicator or GlobDeduplicator(),
            chunk_bytes=chunk_bytes,
        )
        self.error = ""
        self.chunks: list[bytes] = []
        try:
            self.chunks.extend(self.reader)
        except CorruptObjectError as error:
            self.error = str(error)
        self.lines = b"".join(self.chunks).splitlines()


texts = st.text(st.characters(codec="utf-8"), max_size=40)
envelopes = st.builds(
    lambda payload, agent, ascii_only: json.dumps(
        {**json.loads(edge_logs.envelope(payload)), "userAgent": agent}, ensure_ascii=ascii_only
    ).encode(),
    texts,
    texts,
    st.booleans(),
)


@given(
    st.lists(st.lists(envelopes, min_size=1, max_size=4), min_size=1, max_size=4),
    st.sampled_from(list(FORMS.values())),
    st.integers(1, 3000),
)
def test_the_lines_are_identical_to_those_of_the_edge_log(parts, form, chunk_bytes):
    for number, part in enumerate(parts):
        part[0] = part[0].replace(b'"u-1"', b'"first-%d"' % number)
    read = ReadResult(form([glob(part) for part in parts]), chunk_bytes=chunk_bytes)
    log = edge_logs.log([line for part in parts for line in part])
    assert not read.error
    assert b"".join(read.chunks) == b"".join(GzipLineReader(io.BytesIO(log), "log"))
    assert all(chunk.endswith(b"\n") for chunk in read.chunks)
    assert read.reader.globs == len(parts)


@forms
def test_bytes_and_globs_are_counted(form):
    data = form([glob(ONE), glob(THREE)])
    read = ReadResult(data)
    assert (read.reader.bytes_in, read.reader.globs, read.reader.repeated) == (len(data), 2, 0)
    assert read.reader.bytes_inflated == sum(map(len, [*ONE, *THREE])) + 10


def test_line_feeds_between_members_become_tabs_and_the_values_are_unchanged():
    pretty = json.dumps([json.loads(line) for line in ONE], indent=2).encode()
    read = ReadResult(b"\x01" + deflate(pretty))
    assert [json.loads(line) for line in read.lines] == [json.loads(line) for line in ONE]


def test_an_invalid_line_feed_in_a_string_becomes_a_tab():
    read = ReadResult(b"\x01" + deflate(b'[{"uuid":"a\nb"}]'))
    assert read.lines == [b'{"uuid":"a\tb"}']


@forms
def test_a_repeated_glob_is_dropped_and_counted(form):
    read = ReadResult(form([glob(ONE), glob(THREE), glob(ONE), glob(ONE)]))
    assert read.lines == [*ONE, *THREE]
    assert (read.reader.globs, read.reader.repeated_globs, read.reader.repeated) == (4, 2, 6)


def test_a_glob_repeated_in_another_object_is_dropped():
    deduplicator = GlobDeduplicator()
    ReadResult(glob(ONE), deduplicator)
    assert ReadResult(glob(THREE) + glob(ONE), deduplicator).lines == THREE


def test_globs_whose_first_record_has_no_uuid_are_never_repeats():
    without_uuid = [edge_logs.envelope("x", uuid="")]
    no_record = [b"no record"]
    assert ReadResult(glob(without_uuid) * 2 + glob(no_record) * 2).lines == [
        *without_uuid * 2,
        *no_record * 2,
    ]


def test_only_the_latest_globs_are_remembered():
    deduplicator = GlobDeduplicator(max_globs=2)
    for uuid in ("a", "b", "a", "c"):
        deduplicator.add(uuid, 1)
    assert [deduplicator.records_read(uuid) for uuid in ("a", "b", "c")] == [1, 0, 1]


def test_an_empty_glob_has_no_records():
    assert ReadResult(glob([]) + glob(TWO)).lines == TWO


CORRUPT = {
    "empty": (b"", [], "it is empty"),
    "edge logs": (edge_logs.log(ONE), [], "line 1: it is not a JSON object with base64 Data"),
    "another version": (glob(ONE) + b"\x02" + glob(TWO), ONE, "the first byte is not 0x01"),
    "truncated": (glob(ONE) + glob(THREE)[:-20], ONE, "truncated"),
    "version alone": (glob(ONE) + b"\x01", ONE, "truncated"),
    "not DEFLATE": (glob(ONE) + b"\x01\xff\xff\xff\xff", ONE, "has invalid DEFLATE data"),
    "not an array": (b"\x01" + deflate(b'{"a": 1}') + glob(TWO), TWO, "it is not a JSON array"),
    "half an array": (
        b"\x01" + deflate(b"[" + ONE[0] + b',{"uuid": "') + glob(TWO),
        [ONE[0], *TWO],
        "its JSON array is incomplete",
    ),
    "not base64": (
        data_lines([glob(ONE)]) + b'{"Data": "%%"}\n{"Data": ""}\n' + data_lines([glob(TWO)]),
        [*ONE, *TWO],
        "line 2: it is not a JSON object with base64 Data (Invalid base64 encoded string - at "
        "`$.Data`), and 1 more",
    ),
    "a truncated glob on a line": (
        data_lines([glob(ONE)[:-9], glob(TWO)]),
        TWO,
        "line 1: the glob at",
    ),
    "truncated gzip": (
        gzip.compress(glob(ONE) + glob(TWO))[:-3],
        [*ONE, *TWO],
        "it is truncated",
    ),
}


@pytest.mark.parametrize("case", CORRUPT)
def test_a_corrupt_object_is_reported_after_its_readable_records(case):
    data, lines, problem = CORRUPT[case]
    read = ReadResult(data)
    assert problem in read.error
    assert read.error.startswith("20171103/a is corrupt: ")
    assert [line for line in read.lines if line in lines] == lines


def test_the_repeat_of_a_corrupt_glob_adds_only_its_missing_records():
    half = b"\x01" + deflate(b"[" + THREE[0] + b"," + THREE[1] + b',{"uuid"')
    read = ReadResult(half + glob(THREE))
    assert read.lines == THREE
    assert (read.reader.repeated_globs, read.reader.repeated) == (1, 2)


def test_a_glob_larger_than_the_edge_writes_is_read_the_same_way():
    many = records(0, 6000)
    data = b"\x01" + deflate(b"[" + b",\n".join(many) + b"]")
    assert ReadResult(data, chunk_bytes=128 * 1024).lines == many
    cut = ReadResult(data[: len(data) // 2])
    assert cut.lines == many[: len(cut.lines)]
    assert len(cut.lines) > 1000
    assert "the glob at byte 0 is truncated" in cut.error


def test_memory_is_bounded_by_chunks_not_by_globs():
    record = edge_logs.record("login", {"n": 1, "more": "x" * 200})
    big = b"\x01" + deflate(b"[" + b",".join([record] * 40_000) + b"]")
    globs = GlobReader(io.BytesIO(big), "a", GlobDeduplicator())
    tracemalloc.start()
    try:
        assert sum(chunk.count(b"\n") for chunk in globs) == 40_000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert globs.bytes_inflated > 15_000_000


def test_a_truncated_glob_that_is_not_an_array_is_reported_as_truncated():
    data = b"\x01" + deflate(b'{"not": "an array"}' + bytes(range(200)))
    with pytest.raises(CorruptObjectError, match="truncated"):
        list(GlobReader(io.BytesIO(data[:-20]), "o", GlobDeduplicator()))


def test_a_corrupt_line_is_reported_by_number_and_blank_lines_are_skipped():
    good = data_lines([glob([edge_logs.record("a", {})])]).removesuffix(b"\n")
    with pytest.raises(
        CorruptObjectError, match="line 4: it is not a JSON object with base64 Data"
    ):
        list(GlobReader(io.BytesIO(good + b"\n\r\n \n{bad\n"), "o", GlobDeduplicator()))
