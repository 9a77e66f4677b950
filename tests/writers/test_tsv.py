"""Gzip TSV files: one member each, deterministic, closed at their maximum size."""

import gzip
import hashlib
import os
import zlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from spade_spark.writers import tsv
from spade_spark.writers.tsv import RowFiles

KEY = ("play", 3)


def write_all(directory, writes, max_file_bytes=1 << 30):
    files = RowFiles(directory, max_file_bytes)
    closed = [file for key, rows, count in writes for file in files.write(key, rows, count)]
    return closed + files.close()


def noise(rows):
    return b"".join(f'"{os.urandom(40).hex()}"\n'.encode() for _ in range(rows))


@given(
    st.lists(
        st.tuples(
            st.tuples(st.sampled_from(["a", "b/c", "d"]), st.integers(0, 2)),
            st.lists(st.binary(max_size=50).map(lambda row: row.hex().encode()), max_size=20),
        )
    )
)
def test_files_contain_the_rows_of_their_table_and_version(tmp_path_factory, writes):
    directory = tmp_path_factory.mktemp("rows")
    rows = [(key, b"".join(row + b"\n" for row in rows), len(rows)) for key, rows in writes]
    closed = write_all(directory, rows)
    expected: dict[tuple[str, int], tuple[bytes, int]] = {}
    for key, text, count in rows:
        before, rows_before = expected.get(key, (b"", 0))
        expected[key] = (before + text, rows_before + count)
    assert expected == {
        (file.table, file.version): (gzip.decompress(file.path.read_bytes()), file.rows)
        for file in closed
    }


def test_a_closed_file_has_its_counts_and_checksum(tmp_path):
    rows = noise(10_000)
    (file,) = write_all(tmp_path, [(KEY, rows, 10_000)])
    data = file.path.read_bytes()
    assert (file.table, file.version, file.rows) == ("play", 3, 10_000)
    assert (file.bytes, file.bytes_raw) == (len(data), len(rows))
    assert file.sha256 == hashlib.sha256(data).hexdigest()


def test_a_file_is_one_gzip_member(tmp_path):
    """Some gzip readers, such as old versions of Redshift's COPY, stop after the first member."""
    (file,) = write_all(tmp_path, [(KEY, noise(3000), 3000) for _ in range(5)])
    inflater = zlib.decompressobj(wbits=31)
    inflater.decompress(file.path.read_bytes())
    assert inflater.eof
    assert not inflater.unused_data


def test_the_same_rows_produce_the_same_bytes(tmp_path):
    writes = [((f"table {n % 3}", 1), noise(500), 500) for n in range(30)]
    checksums = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        checksums.append([file.sha256 for file in write_all(tmp_path / name, writes, 50_000)])
    assert checksums[0] == checksums[1]


def test_a_file_is_closed_at_its_maximum_size(tmp_path):
    writes = [(KEY, noise(1000), 1000) for _ in range(40)]
    closed = write_all(tmp_path, writes, max_file_bytes=300_000)
    assert len(closed) > 3
    assert all(300_000 <= file.bytes < 300_000 + tsv.BATCH_BYTES for file in closed[:-1])
    read_back = b"".join(gzip.decompress(file.path.read_bytes()) for file in closed)
    assert read_back == b"".join(rows for _, rows, _ in writes)
    assert sum(file.rows for file in closed) == 40_000


def test_a_thousand_open_tables_need_few_resources(tmp_path):
    """Open files have no file descriptor or compressor, and pending rows are limited."""
    files = RowFiles(tmp_path, 1 << 30)
    before = len(list(Path("/proc/self/fd").iterdir()))
    rows = noise(250)
    for _ in range(3):
        for number in range(1000):
            files.write((f"table {number}", 1), rows, 250)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    on_disk = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert on_disk > 3 * 1000 * len(rows) * 0.4 - tsv.PENDING_BYTES
    closed = files.close()
    assert len(closed) == 1000
    assert {gzip.decompress(file.path.read_bytes()) for file in closed[:5]} == {rows * 3}


def test_without_rows_there_is_no_file(tmp_path):
    assert write_all(tmp_path, []) == []
    assert list(tmp_path.iterdir()) == []
