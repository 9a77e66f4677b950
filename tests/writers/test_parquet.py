"""Conversion to Parquet: days, row groups, types and metadata."""

import gzip
import json
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spade_spark.blueprint.schema import read_tables
from spade_spark.errors import SettingsError, UsageError
from spade_spark.gocompat.quote import quote
from spade_spark.transform.transformers.registry import TRANSFORMERS, is_transformer
from spade_spark.writers import parquet_requirements
from spade_spark.writers.parquet import convert
from spade_spark.writers.parquet_requirements import require_parquet_columns, require_pyarrow
from spade_spark.writers.partition_paths import NO_DAY
from tests.support import edge_logs

TIMES = ("2017-11-03 23:59:59.999", "", "2017-11-04 00:00:00", "2017-11-03 00:00:00")


def table(*columns, name="t"):
    (parsed,) = read_tables(
        edge_logs.schemas(edge_logs.table(name, *columns)), is_transformer
    ).tables.values()
    return parsed


TWO_COLUMNS = table(edge_logs.column("time", "f@timestamp@unix"), edge_logs.column("a", "varchar"))


def convert_rows(folder, rows, table=TWO_COLUMNS, size=1 << 27, time_column="time"):
    source = folder / "rows.gz"
    source.write_bytes(
        gzip.compress("".join("\t".join(map(quote, row)) + "\n" for row in rows).encode())
    )
    return list(convert(source, table, folder, time_column, size))


@contextmanager
def arrow_memory():
    """Measure the memory that Arrow allocates inside the block."""
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    try:
        yield pool
    finally:
        pa.set_memory_pool(before)


def test_each_day_and_rows_without_a_day_have_their_own_file(tmp_path):
    times = (*TIMES, "10000-01-01 00:00:00")
    files = convert_rows(tmp_path, [(time, str(number)) for number, time in enumerate(times)])
    rows = {file.day: pq.read_table(file.path).column("a").to_pylist() for file in files}
    assert rows["2017-11-03"] == ["0", "3"]
    assert rows["2017-11-04"] == ["2"]
    undated = [
        value
        for file in files
        if file.day == NO_DAY
        for value in pq.read_table(file.path).column("a").to_pylist()
    ]
    assert sorted(undated) == ["1", "4"]
    assert sum(file.rows for file in files) == 5


def test_a_file_has_its_first_and_last_time(tmp_path):
    (file,) = convert_rows(tmp_path, [(TIMES[3], "a"), (TIMES[0], "b")])
    assert (file.first, file.last) == ("2017-11-03 00:00:00.000", "2017-11-03 23:59:59.999")


@pytest.mark.parametrize("time_column", ["at", "a"])
def test_a_table_without_a_time_column_has_one_file_without_a_day(tmp_path, time_column):
    (file,) = convert_rows(tmp_path, [(TIMES[0], "a"), ("", "b")], time_column=time_column)
    assert (file.day, file.rows, file.first) == (NO_DAY, 2, "")


def test_row_groups_have_the_configured_size_which_limits_memory(tmp_path):
    rows = [("2017-11-03 10:00:00", f"{number:0100}") for number in range(200_000)]
    with arrow_memory() as memory:
        (file,) = convert_rows(tmp_path, rows, size=8_000_000)
    assert memory.max_memory() < 2.5 * 8_000_000
    groups = pq.read_metadata(file.path)
    row_bytes = 100 + 4 + 8  # a text, its offset and a time in Arrow's memory
    sizes = [groups.row_group(n).num_rows * row_bytes for n in range(groups.num_row_groups)]
    assert len(sizes) == 3
    assert all(8_000_000 <= size < 9_200_000 for size in sizes[:-1])
    assert pq.read_table(file.path).column("a").to_pylist() == [row[1] for row in rows]


def test_many_days_are_written_with_a_limited_number_of_open_files(tmp_path):
    rows = [
        (f"20{number:02}-01-{day:02} 00:00:00", "a") for number in range(6) for day in range(1, 29)
    ]
    files = convert_rows(tmp_path, rows)
    assert len(files) == 6 * 28
    assert sum(file.rows for file in files) == len(rows)


def test_every_transformer_has_a_type_and_every_timestamp_a_time_zone(tmp_path):
    names = [spec.example_name for spec in TRANSFORMERS.specs]
    all_types = table(*[edge_logs.column("p", name, outbound=name) for name in names])
    (file,) = convert_rows(tmp_path, [("",) * len(names)], table=all_types)
    schema = pq.read_schema(file.path)
    types = {field.name: str(field.type) for field in schema}
    expected = {
        "int": "int32",
        "bigint": "int64",
        "float": "double",
        "varchar": "string",
        "bool": "bool",
        "ipCity": "string",
        "ipCountry": "string",
        "ipRegion": "string",
        "ipAsn": "string",
        "ipAsnInteger": "int64",
        "f@timestamp@unix": "timestamp[ms]",
        "f@timestamp@unix-utc": "timestamp[ms]",
        "userIDWithMapping": "int64",
        "f@timestamp@2006-01-02 15:04:05": "timestamp[ms]",
    }
    assert types.items() >= expected.items()
    clocks = json.loads(schema.metadata[b"spade.timestamps"])
    assert clocks["f@timestamp@unix"] == "America/Los_Angeles wall clock, without a zone"
    assert clocks["f@timestamp@unix-utc"] == "UTC, without a zone"
    assert clocks.keys() == {name for name, type_ in types.items() if type_ == "timestamp[ms]"}
    assert pq.read_metadata(file.path).row_group(0).column(0).compression == "ZSTD"


def test_tables_that_parquet_does_not_support_are_an_error():
    with pytest.raises(UsageError, match=r"table t has no columns: Parquet does not support this"):
        require_parquet_columns([table()])
    duplicates = table(edge_logs.column("a", "int"), edge_logs.column("b", "int", outbound="A"))
    with pytest.raises(UsageError, match=r"table t has columns with the same name \(a\)"):
        require_parquet_columns([TWO_COLUMNS, duplicates])


def test_a_missing_pyarrow_is_an_error_with_the_command_to_install_it(monkeypatch):
    monkeypatch.setattr(parquet_requirements, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'spade-spark\[lake\]'"):
        require_pyarrow()
