"""One table's window, on PostgreSQL and on the Redshift stand-in alike."""

from __future__ import annotations

import pytest

from spade_spark.warehouse.guards import LoadGuards
from tests.warehouse.harness import NEW, OLD, REPLACED, WINDOW

OUTSIDE = b'"2017-11-04 14:00:01"\t"out"\t"9"'


def test_the_window_is_replaced_and_its_ends_are_inside(lab):
    lab.table()
    done = lab.loaded(lab.files(*NEW))
    assert lab.rows() == REPLACED
    assert (done.before, done.staged, done.outside, done.deleted, done.inserted) == (2, 2, 0, 2, 2)


def test_the_ledger_has_one_row_of_the_replace(lab):
    lab.table()
    files = lab.files(*NEW)
    lab.loaded(files)
    assert lab.ledger() == [("tag", "login", 2, 2, files.checksum)]
    window = lab.run(f"SELECT window_start, window_end FROM {lab.control}.replay")
    assert window == [(WINDOW.wall_start, WINDOW.wall_end)]


def test_staged_rows_outside_the_window_are_counted_and_not_inserted(lab):
    lab.table()
    done = lab.loaded(lab.files(*NEW, OUTSIDE, parts=2))
    assert (done.staged, done.outside, done.inserted) == (3, 1, 2)
    assert lab.rows() == REPLACED


def test_columns_are_named_so_the_tables_own_order_does_not_matter(lab):
    lab.table(columns={"extra": "integer DEFAULT 7", "n": "integer", "time": "timestamp"}, rows=())
    lab.loaded(lab.files(b'"2017-11-04 13:30:00"\t"5"', columns=("time", "n")))
    assert lab.rows(columns="time, n, extra") == [("2017-11-04 13:30:00", 5, 7)]


def test_a_name_that_needs_quoting_is_quoted(lab):
    column = 'we"ird; drop'
    lab.run(f'CREATE TABLE {lab.schema}."odd name" (time timestamp, "we""ird; drop" integer)')
    lab.run(f"INSERT INTO {lab.control}.table_version VALUES ('odd name', 3, '2017-01-01')")
    row = b'"2017-11-04 13:30:00"\t"5"'
    lab.loaded(lab.files(row, table="odd name", columns=("time", column)), run_tag="o'tag")
    assert lab.rows("odd name") == [("2017-11-04 13:30:00", 5)]
    assert lab.ledger()[0][0] == "o'tag"


def test_rows_that_are_not_those_of_the_manifest_stop_the_load(lab):
    lab.table()
    told = lab.refused(lab.files(*NEW, claimed_rows=3))
    assert "COPY brought 2 rows, the run's manifest has 3 in 1 files" in told.reason
    assert lab.rows() == list(OLD)
    assert lab.ledger() == []


def test_no_new_rows_stop_the_load_unless_that_is_allowed(lab):
    lab.table()
    for files in (lab.files(OUTSIDE), lab.files(parts=0)):
        told = lab.refused(files)
        assert "there are no new rows" in told.reason
        assert "--allow-empty" in told.reason
        assert lab.rows() == list(OLD)
    done = lab.loaded(lab.files(parts=0), rules=LoadGuards(allow_empty=True))
    assert (done.deleted, done.inserted) == (2, 0)
    assert lab.rows() == [OLD[0], OLD[3]]


def test_too_few_new_rows_stop_the_load_and_the_message_names_the_ratio_that_would_do(lab):
    old = [(f"2017-11-04 13:00:{second:02}", "old", second) for second in range(7)]
    lab.table(rows=old)
    told = lab.refused(lab.files(*NEW))
    assert "2 new rows to replace 7 old ones, less than 0.5" in told.reason
    assert "--min-rows-ratio with at most 0.285" in told.reason
    assert lab.rows() == old
    assert lab.loaded(lab.files(*NEW), rules=LoadGuards(min_rows_ratio=0.285)).deleted == 7


def test_a_run_tag_is_not_loaded_twice_unless_forced(lab):
    lab.table()
    files = lab.files(*NEW)
    lab.loaded(files)
    done_before = lab.passed(files)
    assert (done_before.deleted, done_before.inserted) == (2, 2)
    assert lab.ledger() == [("tag", "login", 2, 2, files.checksum)]
    done = lab.loaded(files, rules=LoadGuards(force=True))
    assert (done.before, done.deleted, done.inserted) == (2, 2, 2)
    assert lab.rows() == REPLACED
    assert lab.ledger() == 2 * [("tag", "login", 2, 2, files.checksum)]


def test_values_that_are_cut_are_counted_in_bytes_by_column(lab):
    lab.table(columns={"time": "timestamp", "name": "varchar(5)", "id": "char(3)"}, rows=())
    rows = [
        '"2017-11-04 13:00:01"\t"12345"\t"abc"',  # fits exactly
        '"2017-11-04 13:00:02"\t"123456"\t"abcd"',
        '"2017-11-04 13:00:03"\t"éé1"\t""',  # 5 bytes
        '"2017-11-04 13:00:04"\t"ééé"\t"abcdefghijklmnop"',  # 6 bytes, 3 characters
        '"2017-11-04 13:00:05"\t"12😀"\t"a"',  # the cut falls into a character
        '"2017-11-04 13:00:06"\t"12345     "\t"abc     "',  # only blanks would be cut
        '"2017-11-04 13:00:07"\t"1234😀😀😀😀😀"\t"x"',
    ]
    files = lab.files(*(row.encode() for row in rows), columns=("time", "name", "id"))
    told = lab.refused(files, rules=LoadGuards(max_truncated=5))
    assert "(id: 2, name: 4), more than --max-truncated 5" in told.reason
    assert lab.rows() == []
    assert lab.loaded(files, rules=LoadGuards(max_truncated=6)).truncated == {"name": 4, "id": 2}
    assert lab.rows(columns="time, name, rtrim(id)") == [
        ("2017-11-04 13:00:01", "12345", "abc"),
        ("2017-11-04 13:00:02", "12345", "abc"),
        ("2017-11-04 13:00:03", "éé1", None),
        ("2017-11-04 13:00:04", "éé", "abc"),
        ("2017-11-04 13:00:05", "12", "a"),
        ("2017-11-04 13:00:06", "12345", "abc"),
        ("2017-11-04 13:00:07", "1234", "x"),
    ]


def test_copys_options_mean_the_same_on_both(lab):
    columns = {
        "time": "timestamp",
        "text": "varchar(20)",
        "n": "bigint",
        "price": "numeric(6,2)",
        "ratio": "double precision",
        "yes": "boolean",
        "last": "varchar(10)",
    }
    lab.table(columns=columns, rows=())
    rows = [
        b'"2017-11-04 13:00:01"\t"say \\"hi\\"\\\\"\t"-9223372036854775808"\t"1.005"\t"0.1"\t"true"\t"z"',  # noqa: E501 - one row
        b'"2017-11-04 13:00:02"\t"a\\x07\\n"\t""\t"-1.005"\t""\t"false"\t""',
        b"2017-11-04 13:00:03\t\t\t2.999",  # no quotes, values missing at the end
        b'"2017-11-04 13:00:04"\t"in\tside"\t"7"\t"1.004"\t"1e-5"\t\t\'single\'',
        b'"2017-11-04 13:00:05"\t"bad \xff\xed\xa0\x80 bytes"\t"+7"\t\t\t"1"\t"blank   "',
        b'"2017-11-04 13:00:06.125"\t"  "\t"7"\t"0"\t"0"\t"0"\t"\\\n"',
        b'"2017-11-04 13:00:07"\t\\N\t"7"\t"0"\t"0"\t"0"\t"q"q"',
    ]
    lab.loaded(lab.files(*rows, columns=tuple(columns)))
    found = lab.rows(columns="time, text, n, price::varchar(20), ratio, yes, last")
    assert found == [
        ("2017-11-04 13:00:01", 'say "hi"\\', -(2**63), "1.01", 0.1, True, "z"),
        ("2017-11-04 13:00:02", "ax07n", None, "-1.01", None, False, None),
        ("2017-11-04 13:00:03", None, None, "3.00", None, None, None),
        ("2017-11-04 13:00:04", "in\tside", 7, "1.00", 1e-5, None, "single"),
        ("2017-11-04 13:00:05", "bad ???? bytes", 7, None, None, True, "blank"),
        ("2017-11-04 13:00:06.125000", "", 7, "0.00", 0, False, "\n"),
        ("2017-11-04 13:00:07", None, 7, "0.00", 0, False, 'q"q'),
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (b'"2017-11-04 13:30:00"\t"x"\t"abc"', ["line 2", 'column "n"', "'abc'", "nteger"]),
        (b'"2017-11-04 13:30:00"\t"x"\t"3000000000"', ["line 2", 'column "n"', "'3000000000'"]),
        (b'"2017-13-04 13:30:00"\t"x"\t"1"', ["line 2", 'column "time"', "'2017-13-04 13:30:00'"]),
        (b'"2017-11-04 13:30:00"\t"x"\t"1"\t"4"', ["line 2", "Extra column(s) found"]),
        (b'"2017-11-04 13:30:00"\t"x"\t"1', ["line 2", "Invalid quote formatting"]),
    ],
)
def test_a_value_that_does_not_fit_is_shown_with_file_line_column_and_reason(lab, row, told):
    lab.table()
    files = lab.files(NEW[0], row, NEW[1])
    reason = lab.refused(files).reason
    assert reason.startswith("login was left as it was: COPY refused values:\n")
    assert files.files[0].url in reason
    for part in told:
        assert part in reason
    assert "Mend the column's transformer" in reason
    assert lab.rows() == list(OLD)
    assert lab.ledger() == []


def test_null_where_the_column_has_none_is_shown_as_a_load_error(lab):
    lab.table(columns={"time": "timestamp", "id": "integer NOT NULL"}, rows=())
    files = lab.files(b'"2017-11-04 13:30:00"\t""', columns=("time", "id"))
    reason = lab.refused(files).reason
    assert 'line 1, column "id"' in reason
    assert "Missing data for not-null field" in reason


def test_a_file_of_another_size_than_the_manifest_says_is_refused(lab, s3_client):
    lab.table()
    files = lab.files(*NEW)
    key = files.files[0].url.removeprefix(lab.output)
    s3_client.put_object(Bucket=lab.bucket, Key=key, Body=b"cut")
    reason = lab.refused(files).reason
    assert f"{files.files[0].url} has 3 bytes, the run's manifest says" in reason
    s3_client.delete_object(Bucket=lab.bucket, Key=key)
    assert f"{files.files[0].url} is not there" in lab.refused(files).reason
    assert lab.rows() == list(OLD)


def test_a_table_that_changed_since_the_plan_is_refused(lab):
    lab.table()
    files = lab.files(*NEW)
    lab.run(f"ALTER TABLE {lab.schema}.login DROP COLUMN n")
    assert f'{lab.schema}.login has no column "n"' in lab.refused(files).reason
    lab.run(f"DROP TABLE {lab.schema}.login")
    assert f"there is no table {lab.schema}.login" in lab.refused(files).reason


def test_a_version_that_changed_since_the_plan_is_refused(lab):
    lab.table()
    files = lab.files(*NEW)
    lab.run(f"INSERT INTO {lab.control}.table_version VALUES ('login', 4, '2017-01-02')")
    told = lab.refused(files)
    assert "has version 4 of login, the replay makes version 3" in told.reason
    assert lab.rows() == list(OLD)


def test_a_reader_sees_the_old_rows_or_the_new_rows_and_never_neither_or_both(lab):
    lab.table(rows=[(f"2017-11-04 13:00:{second:02}", "old", second) for second in range(40)])
    rows = [f'"2017-11-04 13:01:{second:02}"\t"new"\t"1"'.encode() for second in range(50)]
    with lab.reader() as seen:
        for turn in range(3):
            lab.loaded(lab.files(*rows), run_tag=f"tag{turn}")
    assert seen <= {(("old", 40),), (("new", 50),)}
    assert (("new", 50),) in seen


def test_with_all_tables_a_table_without_old_or_new_rows_is_loaded_with_none(lab):
    lab.table(rows=[OLD[0], OLD[3]])
    files = lab.files(parts=0)
    assert "there are no new rows" in lab.refused(files).reason
    quiet = LoadGuards(skip_quiet=True)
    done = lab.loaded(files, rules=quiet)
    assert (done.before, done.deleted, done.inserted) == (0, 0, 0)
    assert lab.ledger() == [("tag", "login", 0, 0, files.checksum)]
    lab.table("busy")
    assert (
        "there are no new rows" in lab.refused(lab.files(table="busy", parts=0), rules=quiet).reason
    )
