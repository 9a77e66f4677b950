"""Replacing the window of one table, on PostgreSQL and on the stand-in for Redshift."""

from __future__ import annotations

import pytest

from spade_spark.progress import LoadPhase
from spade_spark.warehouse.guards import LoadGuards
from tests.warehouse.harness import NEW, OLD, REPLACED, WINDOW, on_each_isolation_level

OUTSIDE = b'"2017-11-04 14:00:01"\t"out"\t"9"'


def test_the_window_is_replaced_including_both_ends(harness):
    harness.create_table()
    result = harness.load_table(harness.write_files(*NEW))
    assert harness.rows() == REPLACED
    assert (result.before, result.staged, result.outside, result.deleted, result.inserted) == (
        2,
        2,
        0,
        2,
        2,
    )


def test_the_replay_log_has_one_row_of_the_load(harness):
    harness.create_table()
    files = harness.write_files(*NEW)
    harness.load_table(files)
    assert harness.replay_log() == [("tag", "login", 2, 2, files.checksum)]
    window = harness.execute(f"SELECT window_start, window_end FROM {harness.control}.replay")
    assert window == [(WINDOW.wall_start, WINDOW.wall_end)]


def test_staged_rows_outside_the_window_are_counted_and_not_inserted(harness):
    harness.create_table()
    result = harness.load_table(harness.write_files(*NEW, OUTSIDE, parts=2))
    assert (result.staged, result.outside, result.inserted) == (3, 1, 2)
    assert harness.rows() == REPLACED


def test_the_column_order_of_the_table_does_not_matter(harness):
    harness.create_table(
        columns={"extra": "integer DEFAULT 7", "n": "integer", "time": "timestamp"}, rows=()
    )
    harness.load_table(harness.write_files(b'"2017-11-04 13:30:00"\t"5"', columns=("time", "n")))
    assert harness.rows(columns="time, n, extra") == [("2017-11-04 13:30:00", 5, 7)]


DELETES_NOTHING = "CREATE RULE keep AS ON DELETE TO {0}.login DO INSTEAD NOTHING"
TRIGGER = """
CREATE FUNCTION {{0}}.change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} END $$;
CREATE TRIGGER change {} ON {{0}}.login FOR EACH ROW EXECUTE FUNCTION {{0}}.change()
"""
KEEPS_ROWS = TRIGGER.format("RETURN NULL;", "BEFORE DELETE")
MOVES_ROWS = TRIGGER.format("NEW.time = '2017-11-05'; RETURN NEW;", "BEFORE INSERT")
ADDS_ROWS = TRIGGER.format(
    "IF pg_trigger_depth() = 1 THEN INSERT INTO {0}.login SELECT NEW.*; END IF; RETURN NEW;",
    "AFTER INSERT",
)


@pytest.mark.parametrize("backup", [True, False])
@pytest.mark.parametrize("change", [DELETES_NOTHING, KEEPS_ROWS, MOVES_ROWS, ADDS_ROWS])
def test_a_trigger_or_rule_that_changes_which_rows_the_window_has_stops_the_load(
    on_postgres, change, backup
):
    on_postgres.more_settings = {"backup": backup}
    on_postgres.create_table()
    on_postgres.execute(change.format(on_postgres.schema))
    failed = on_postgres.fail_to_load(on_postgres.write_files(*NEW))
    assert "login was not modified: " in failed.reason
    assert on_postgres.rows() == list(OLD)
    assert on_postgres.replay_log() == []


def test_a_trigger_that_moves_added_rows_stops_the_load(on_postgres):
    on_postgres.create_table()
    files = on_postgres.write_files(*NEW)
    on_postgres.load_table(files)
    on_postgres.execute(MOVES_ROWS.format(on_postgres.schema))
    failed = on_postgres.fail_to_load(files, run_tag="tag-quarantine", add_to="tag")
    assert "should have 4 rows afterwards, but would have 2: check the triggers" in failed.reason
    assert on_postgres.rows() == REPLACED


def test_a_name_that_needs_quoting_is_quoted(harness):
    column = 'we"ird; drop'
    harness.execute(
        f'CREATE TABLE {harness.schema}."odd name" (time timestamp, "we""ird; drop" integer)'
    )
    harness.execute(
        f"INSERT INTO {harness.control}.table_version VALUES ('odd name', 3, '2017-01-01')"
    )
    row = b'"2017-11-04 13:30:00"\t"5"'
    harness.load_table(
        harness.write_files(row, table="odd name", columns=("time", column)), run_tag="o'tag"
    )
    assert harness.rows("odd name") == [("2017-11-04 13:30:00", 5)]
    assert harness.replay_log()[0][0] == "o'tag"


def test_a_row_count_that_differs_from_the_manifest_stops_the_load(harness):
    harness.create_table()
    failure = harness.fail_to_load(harness.write_files(*NEW, manifest_rows=3))
    assert "COPY loaded 2 rows, but the run's manifest lists 3 rows in 1 files" in failure.reason
    assert harness.rows() == list(OLD)
    assert harness.replay_log() == []


def test_a_load_without_new_rows_is_stopped_unless_allowed(harness):
    harness.create_table()
    for files in (harness.write_files(OUTSIDE), harness.write_files(parts=0)):
        failure = harness.fail_to_load(files)
        assert "run tag tag has no rows in the window" in failure.reason
        assert "--allow-empty" in failure.reason
        assert harness.rows() == list(OLD)
    result = harness.load_table(harness.write_files(parts=0), guards=LoadGuards(allow_empty=True))
    assert (result.deleted, result.inserted) == (2, 0)
    assert harness.rows() == [OLD[0], OLD[3]]


def test_too_few_new_rows_stop_the_load_and_the_message_names_a_sufficient_ratio(harness):
    old = [(f"2017-11-04 13:00:{second:02}", "old", second) for second in range(7)]
    harness.create_table(rows=old)
    failure = harness.fail_to_load(harness.write_files(*NEW))
    assert "run tag tag has only 2 rows in the window" in failure.reason
    assert "to replace 7 existing rows, below the minimum ratio 0.5" in failure.reason
    assert "--min-rows-ratio 0.285 or less" in failure.reason
    assert harness.rows() == old
    assert (
        harness.load_table(
            harness.write_files(*NEW), guards=LoadGuards(min_rows_ratio=0.285)
        ).deleted
        == 7
    )


def test_a_run_tag_is_not_loaded_twice_unless_forced(harness):
    harness.create_table()
    files = harness.write_files(*NEW)
    harness.load_table(files)
    skipped = harness.skip_load(files)
    assert (skipped.deleted, skipped.inserted) == (2, 2)
    assert harness.replay_log() == [("tag", "login", 2, 2, files.checksum)]
    result = harness.load_table(files, guards=LoadGuards(force=True))
    assert (result.before, result.deleted, result.inserted) == (2, 2, 2)
    assert harness.rows() == REPLACED
    assert harness.replay_log() == 2 * [("tag", "login", 2, 2, files.checksum)]


def test_truncated_values_are_counted_in_bytes_by_column(harness):
    harness.create_table(
        columns={"time": "timestamp", "name": "varchar(5)", "id": "char(3)"}, rows=()
    )
    rows = [
        '"2017-11-04 13:00:01"\t"12345"\t"abc"',  # fits exactly
        '"2017-11-04 13:00:02"\t"123456"\t"abcd"',
        '"2017-11-04 13:00:03"\t"éé1"\t""',  # 5 bytes
        '"2017-11-04 13:00:04"\t"ééé"\t"abcdefghijklmnop"',  # 6 bytes, 3 characters
        '"2017-11-04 13:00:05"\t"12😀"\t"a"',  # truncated within a character
        '"2017-11-04 13:00:06"\t"12345     "\t"abc     "',  # only blanks are truncated
        '"2017-11-04 13:00:07"\t"1234😀😀😀😀😀"\t"x"',
    ]
    files = harness.write_files(*(row.encode() for row in rows), columns=("time", "name", "id"))
    failure = harness.fail_to_load(files, guards=LoadGuards(max_truncated=5))
    assert "(id: 2, name: 4), more than --max-truncated 5" in failure.reason
    assert harness.rows() == []
    assert harness.load_table(files, guards=LoadGuards(max_truncated=6)).truncated == {
        "name": 4,
        "id": 2,
    }
    assert harness.rows(columns="time, name, rtrim(id)") == [
        ("2017-11-04 13:00:01", "12345", "abc"),
        ("2017-11-04 13:00:02", "12345", "abc"),
        ("2017-11-04 13:00:03", "éé1", None),
        ("2017-11-04 13:00:04", "éé", "abc"),
        ("2017-11-04 13:00:05", "12", "a"),
        ("2017-11-04 13:00:06", "12345", "abc"),
        ("2017-11-04 13:00:07", "1234", "x"),
    ]


def test_copy_options_have_the_same_effect_on_both_warehouses(harness):
    columns = {
        "time": "timestamp",
        "text": "varchar(20)",
        "n": "bigint",
        "price": "numeric(6,2)",
        "ratio": "double precision",
        "yes": "boolean",
        "last": "varchar(10)",
    }
    harness.create_table(columns=columns, rows=())
    rows = [
        b'"2017-11-04 13:00:01"\t"say \\"hi\\"\\\\"\t"-9223372036854775808"\t"1.005"\t"0.1"\t"true"\t"z"',  # noqa: E501 - one row
        b'"2017-11-04 13:00:02"\t"a\\x07\\n"\t""\t"-1.005"\t""\t"false"\t""',
        b"2017-11-04 13:00:03\t\t\t2.999",  # no quotes, trailing values missing
        b'"2017-11-04 13:00:04"\t"in\tside"\t"7"\t"1.004"\t"1e-5"\t\t\'single\'',
        b'"2017-11-04 13:00:05"\t"bad \xff\xed\xa0\x80 bytes"\t"+7"\t\t\t"1"\t"blank   "',
        b'"2017-11-04 13:00:06.125"\t"  "\t"7"\t"0"\t"0"\t"0"\t"\\\n"',
        b'"2017-11-04 13:00:07"\t\\N\t"7"\t"0"\t"0"\t"0"\t"q"q"',
    ]
    harness.load_table(harness.write_files(*rows, columns=tuple(columns)))
    rows = harness.rows(columns="time, text, n, price::varchar(20), ratio, yes, last")
    assert rows == [
        ("2017-11-04 13:00:01", 'say "hi"\\', -(2**63), "1.01", 0.1, True, "z"),
        ("2017-11-04 13:00:02", "ax07n", None, "-1.01", None, False, None),
        ("2017-11-04 13:00:03", None, None, "3.00", None, None, None),
        ("2017-11-04 13:00:04", "in\tside", 7, "1.00", 1e-5, None, "single"),
        ("2017-11-04 13:00:05", "bad ???? bytes", 7, None, None, True, "blank"),
        ("2017-11-04 13:00:06.125000", "", 7, "0.00", 0, False, "\n"),
        ("2017-11-04 13:00:07", None, 7, "0.00", 0, False, 'q"q'),
    ]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (b'"2017-11-04 13:30:00"\t"x"\t"abc"', ["line 2", 'column "n"', "'abc'", "nteger"]),
        (b'"2017-11-04 13:30:00"\t"x"\t"3000000000"', ["line 2", 'column "n"', "'3000000000'"]),
        (b'"2017-13-04 13:30:00"\t"x"\t"1"', ["line 2", 'column "time"', "'2017-13-04 13:30:00'"]),
        (b'"2017-11-04 13:30:00"\t"x"\t"1"\t"4"', ["line 2", "Extra column(s) found"]),
        (b'"2017-11-04 13:30:00"\t"x"\t"1', ["line 2", "Invalid quote formatting"]),
    ],
)
def test_a_rejected_value_is_shown_with_file_line_column_and_reason(harness, row, expected):
    harness.create_table()
    files = harness.write_files(NEW[0], row, NEW[1])
    reason = harness.fail_to_load(files).reason
    assert reason.startswith("login was not modified: COPY rejected values:\n")
    assert files.files[0].url in reason
    for part in expected:
        assert part in reason
    assert "Fix the column's transformer" in reason
    assert harness.rows() == list(OLD)
    assert harness.replay_log() == []


def test_null_in_a_not_null_column_is_a_load_error(harness):
    harness.create_table(columns={"time": "timestamp", "id": "integer NOT NULL"}, rows=())
    files = harness.write_files(b'"2017-11-04 13:30:00"\t""', columns=("time", "id"))
    reason = harness.fail_to_load(files).reason
    assert 'line 1, column "id"' in reason
    assert "Missing data for not-null field" in reason


def test_a_file_whose_size_differs_from_the_manifest_is_rejected(harness, s3_client):
    harness.create_table()
    files = harness.write_files(*NEW)
    key = files.files[0].url.removeprefix(harness.output)
    s3_client.put_object(Bucket=harness.bucket, Key=key, Body=b"cut")
    reason = harness.fail_to_load(files).reason
    assert f"{files.files[0].url} has 3 bytes, but the run's manifest lists" in reason
    s3_client.delete_object(Bucket=harness.bucket, Key=key)
    reason = harness.fail_to_load(files).reason
    assert f"{files.files[0].url} is in the run's manifest but does not exist" in reason
    assert harness.rows() == list(OLD)


def test_a_table_that_changed_since_the_plan_is_rejected(harness):
    harness.create_table()
    files = harness.write_files(*NEW)
    harness.execute(f"ALTER TABLE {harness.schema}.login DROP COLUMN n")
    assert f'{harness.schema}.login has no column "n"' in harness.fail_to_load(files).reason
    harness.execute(f"DROP TABLE {harness.schema}.login")
    assert f"the table {harness.schema}.login does not exist" in harness.fail_to_load(files).reason


def test_a_version_that_changed_since_the_plan_is_rejected(harness):
    harness.create_table()
    files = harness.write_files(*NEW)
    harness.execute(
        f"INSERT INTO {harness.control}.table_version VALUES ('login', 4, '2017-01-02')"
    )
    failure = harness.fail_to_load(files)
    assert "has version 4 of login, but the replay makes version 3" in failure.reason
    assert harness.rows() == list(OLD)


@on_each_isolation_level
def test_a_reader_sees_the_old_rows_or_the_new_rows_but_no_mixture(harness):
    harness.create_table(
        rows=[(f"2017-11-04 13:00:{second:02}", "old", second) for second in range(40)]
    )
    rows = [f'"2017-11-04 13:01:{second:02}"\t"new"\t"1"'.encode() for second in range(50)]
    with harness.concurrent_reader() as seen:
        for turn in range(3):
            harness.load_table(harness.write_files(*rows), run_tag=f"tag{turn}")
    assert seen <= {(("old", 40),), (("new", 50),)}
    assert (("new", 50),) in seen


def test_a_window_without_old_and_new_rows_passes_if_allowed(harness):
    harness.create_table(rows=[OLD[0], OLD[3]])
    files = harness.write_files(parts=0)
    assert "run tag tag has no rows in the window" in harness.fail_to_load(files).reason
    guards = LoadGuards(allow_already_empty=True)
    result = harness.load_table(files, guards=guards)
    assert (result.before, result.deleted, result.inserted) == (0, 0, 0)
    assert harness.replay_log() == [("tag", "login", 0, 0, files.checksum)]
    harness.create_table("busy")
    assert (
        "run tag tag has no rows in the window"
        in harness.fail_to_load(harness.write_files(table="busy", parts=0), guards=guards).reason
    )


@pytest.mark.parametrize("new", [(), NEW[:1]], ids=["no row", "one row"])
@pytest.mark.parametrize("backup", [True, False])
def test_rows_that_arrive_in_the_window_after_the_staging_are_not_replaced_by_too_few(
    harness, backup, new
):
    harness.more_settings = {"backup": backup}
    harness.create_table(rows=())

    def insert(progress):
        if progress.phase is LoadPhase.REPLACING:
            for second in range(10):
                harness.execute(
                    f"INSERT INTO {harness.schema}.login VALUES (%s, 'live', 1)",
                    f"2017-11-04 13:00:{second:02}",
                )

    guards = LoadGuards(allow_already_empty=True)
    files = harness.write_files(*new, parts=len(new))
    failed = harness.fail_to_load(files, guards=guards, progress=insert)
    assert f"in the window {WINDOW}" in failed.reason
    assert "to replace 10 existing rows" in failed.reason
    assert {name for _, name, _ in harness.rows()} == {"live"}
    assert harness.replay_log() == []
