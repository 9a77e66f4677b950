"""The exact DDL for catalogs."""

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from spade_spark.lake.ddl import Catalog
from spade_spark.lake.snapshot import (
    DayPartition,
    LakeColumn,
    LakeFile,
    Snapshot,
    publication_folder,
)
from tests.support.sql_words import unquoted_names

DAY = "2017-11-03"
TYPES = ["timestamp[ms]", "int32", "int64", "double", "bool", "string"]


def current(*days, columns=(("time", "timestamp[ms]"),), table="login", serial=1):
    lake_columns = tuple(LakeColumn(*column) for column in columns)
    file = LakeFile("a.parquet", 1, 1, "", f"{DAY} 00:00:00.000", f"{DAY} 00:00:00.000")
    partitions = {
        day: DayPartition(publication_folder(table, day, "p"), (file,), ()) for day in days
    }
    return Snapshot(
        table, serial, datetime(2026, 1, 1, tzinfo=timezone.utc), lake_columns, partitions
    )


def emptied():
    partitions = {DAY: DayPartition(publication_folder("login", DAY, "q"), (), ())}
    return replace(current(serial=2), partitions=partitions)


ALL_TYPES = current(DAY, columns=[(f"c{number}", type_) for number, type_ in enumerate(TYPES)])


def test_a_new_table_and_its_days_in_athena():
    created, added = Catalog("athena", "s3://lake/x/", "events").statements(None, ALL_TYPES, [DAY])
    assert created == (
        "CREATE EXTERNAL TABLE IF NOT EXISTS `events`.`login` (\n"
        "  `c0` timestamp,\n  `c1` int,\n  `c2` bigint,\n  `c3` double,\n  `c4` boolean,\n"
        "  `c5` string\n)\n"
        "PARTITIONED BY (`date` date)\nSTORED AS PARQUET\nLOCATION 's3://lake/x/login/'"
    )
    assert added == (
        "ALTER TABLE `events`.`login` ADD IF NOT EXISTS PARTITION (`date` = '2017-11-03') "
        "LOCATION 's3://lake/x/publications/login/date=2017-11-03/p/'"
    )


def test_a_new_table_and_its_days_in_spectrum():
    created, added = Catalog("spectrum", "s3://lake/", "spectrum").statements(
        None, ALL_TYPES, [DAY]
    )
    assert created == (
        'CREATE EXTERNAL TABLE "spectrum"."login" (\n'
        '  "c0" timestamp,\n  "c1" integer,\n  "c2" bigint,\n  "c3" double precision,\n'
        '  "c4" boolean,\n  "c5" varchar(65535)\n)\n'
        "PARTITIONED BY (\"date\" date)\nSTORED AS PARQUET\nLOCATION 's3://lake/login/'"
    )
    assert added == (
        'ALTER TABLE "spectrum"."login" ADD IF NOT EXISTS PARTITION ("date" = \'2017-11-03\') '
        "LOCATION 's3://lake/publications/login/date=2017-11-03/p/'"
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            current(DAY),
            current(DAY, serial=2),
            [
                "ADD IF NOT EXISTS PARTITION (\"date\" = '2017-11-03') LOCATION 's3://l/pub",
                "PARTITION (\"date\" = '2017-11-03') SET LOCATION 's3://l/pub",
            ],
        ),
        (
            current(DAY),
            emptied(),
            [
                "ADD IF NOT EXISTS PARTITION (\"date\" = '2017-11-03') LOCATION 's3://l/pub",
                "DROP PARTITION (\"date\" = '2017-11-03')",
            ],
        ),
        (
            current(),
            current(columns=[("time", "timestamp[ms]"), ("n", "int32")], serial=2),
            ['ADD COLUMN "n" integer'],
        ),
    ],
    ids=["replaced day", "emptied day", "added column"],
)
def test_only_changes_are_generated(before, after, expected):
    days = [DAY] if before.partitions else []
    statements = Catalog("spectrum", "s3://l/").statements(before, after, days)
    assert len(statements) == len(expected)
    for statement, start in zip(statements, expected, strict=True):
        assert statement.startswith(f'ALTER TABLE "login" {start}')


def test_a_day_that_never_had_rows_is_omitted():
    assert Catalog("athena", "s3://l/").statements(current(), current(serial=2), [DAY])[1:] == ()


def test_the_partition_column_is_renamed_if_the_table_has_a_column_date():
    table = current(DAY, columns=[("time", "timestamp[ms]"), ("Date", "string")])
    created, added = Catalog("athena", "s3://l/").statements(None, table, [DAY])
    assert "PARTITIONED BY (`partition_date` date)" in created
    assert "PARTITION (`partition_date` = '2017-11-03')" in added


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, ALL_TYPES), (ALL_TYPES, replace(ALL_TYPES, serial=2)), (current(DAY), emptied())],
    ids=["new", "replaced", "emptied"],
)
def test_all_names_are_quoted_in_spectrum(before, after):
    statements = Catalog("spectrum", "s3://lake/", "spectrum").statements(before, after, [DAY])
    assert statements
    assert not [name for sql in statements for name in unquoted_names(sql)]


def test_names_and_locations_are_escaped():
    table = current(DAY, columns=[('a`"b', "int32")])
    created, _ = Catalog("athena", "s3://it's/").statements(None, table, [DAY])
    assert '`a``"b` int' in created
    assert "LOCATION 's3://it\\'s/login/'" in created
    created, _ = Catalog("spectrum", "s3://it's/").statements(None, table, [DAY])
    assert '"a`""b" integer' in created
    assert "LOCATION 's3://it''s/login/'" in created
