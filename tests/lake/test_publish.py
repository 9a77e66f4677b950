"""Publishing into a lake: what readers of the pointer see, whatever happens meanwhile."""

import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow.dataset
import pytest
from rich.console import Console

from spade_spark.cli.main import main
from spade_spark.errors import SettingsError, UsageError
from spade_spark.lake.snapshot import load_snapshot
from spade_spark.lake.vacuum import find_unreferenced
from spade_spark.reporting.export import print_export
from spade_spark.runs.manifest import CorruptObject
from spade_spark.storage.base import open_store
from spade_spark.storage.records import encode
from spade_spark.workflows import lake_export
from tests.lake.harness import LOGIN, NOVEMBER_3, LakeHarness
from tests.runs.test_run_store import PLAN
from tests.support import edge_logs
from tests.support.duckdb_query import query
from tests.support.faulty_s3 import FaultyS3

EARLY = ("2017-11-03 09:59:59", "early", "1")
OLD = ("2017-11-03 10:00:00", "old", "2")
OLD_END = ("2017-11-03 11:59:59", "old end", "3")
LATE = ("2017-11-03 12:00:00", "late", "4")
NEW = ("2017-11-03 10:30:00", "new", "5")
NEW_END = ("2017-11-03 11:59:59", "new end", "")
OUTSIDE = ("2017-11-03 12:30:00", "of the margin", "6")
BEFORE = [EARLY, OLD, OLD_END, LATE]
AFTER = [EARLY, NEW, NEW_END, LATE]


def values(rows):
    return [(time, login, int(n) if n else None) for time, login, n in rows]


@pytest.fixture
def harness(tmp_path):
    """A lake whose day has old rows, and a run of two hours of that day."""
    return prepared(LakeHarness(tmp_path))


def prepared(harness):
    harness.published(harness.run("old", *BEFORE, window=NOVEMBER_3))
    harness.run("new", NEW, NEW_END, OUTSIDE)
    return harness


def test_the_windows_rows_are_replaced_and_the_days_others_stay(harness):
    done = harness.published("new")
    assert harness.rows() == values(AFTER)
    assert (done.replaced, done.published, done.carried, done.outside) == (2, 2, 2, 1)
    assert done.days == ("2017-11-03",)


def test_a_file_on_one_side_of_the_window_is_copied_as_it_is(tmp_path):
    harness = LakeHarness(tmp_path)
    harness.published(harness.run("old", EARLY, OLD, window=NOVEMBER_3, files=2))
    before = {file.sha256 for file in harness.current.partitions["2017-11-03"].files}
    harness.published(harness.run("new", NEW))
    after = {file.sha256 for file in harness.current.partitions["2017-11-03"].files}
    assert harness.rows() == values([EARLY, NEW])
    assert len(before & after) == 1


def test_other_days_are_left_alone(harness):
    harness.published(
        harness.run(
            "next",
            ("2017-11-04 00:00:00", "next", "1"),
            window=("2017-11-04 00:00:00", "2017-11-04 23:59:59"),
        )
    )
    location = harness.current.partitions["2017-11-04"].location
    harness.published("new")
    assert harness.current.partitions["2017-11-04"].location == location
    assert harness.rows() == values([*AFTER, ("2017-11-04 00:00:00", "next", "1")])


def test_a_run_that_is_published_is_not_published_twice(harness):
    harness.published("new")
    before = harness.current
    again = harness.published("new")
    assert (again.before, again.days, harness.current) == (True, (), before)
    assert again.ddl


def test_a_run_that_has_no_row_in_the_window_changes_nothing(tmp_path):
    harness = LakeHarness(tmp_path)
    report = harness.publish(harness.run("margin", OUTSIDE))
    (done,) = report.tables
    assert (done.before, done.days, done.published, done.outside) == (False, (), 0, 1)
    assert harness.current is None
    print_export(report, Console(file=(shown := io.StringIO()), width=120))
    assert "nothing to publish" in shown.getvalue()


def test_only_the_days_that_were_replaced_by_others_since_are_published_again(tmp_path):
    harness = LakeHarness(tmp_path)
    next_day = ("2017-11-04 10:00:00", "next", "1")
    harness.run("both", OLD, next_day, window=(NOVEMBER_3[0], "2017-11-04 23:59:59"))
    harness.published("both")
    harness.published(harness.run("new", NEW))
    done = harness.published("both", force=True)
    assert (done.days, done.published, done.outside) == (("2017-11-03",), 1, 0)
    assert harness.rows() == values([OLD, next_day])


def test_a_run_is_not_published_over_one_that_came_after_it_unless_it_is_forced(harness):
    harness.published("new")
    assert "run tag new was published over old on 2017-11-03" in harness.refused("old")
    harness.published("old", force=True)
    assert harness.rows() == values(BEFORE)


@pytest.mark.parametrize(
    "window",
    [NOVEMBER_3, ("2017-11-03 00:00:00", "2017-11-04 23:59:59")],
    ids=["the same window", "a wider one"],
)
def test_a_run_all_of_whose_rows_went_does_not_come_back_unless_it_is_forced(harness, window):
    harness.published(harness.run("whole", NEW, NEW_END, window=window))
    assert "run tag whole was published over old on 2017-11-03" in harness.refused("old")
    assert harness.rows() == values([NEW, NEW_END])
    harness.published("old", force=True)
    assert harness.rows() == values(BEFORE)
    assert "run tag old was published over whole on 2017-11-03" in harness.refused("whole")


def test_rows_are_not_replaced_by_none_or_by_few_unless_that_is_allowed(harness):
    harness.run("none", OUTSIDE)
    assert "to replace 2 existing rows. If this is correct, use --allow-empty" in harness.refused(
        "none"
    )
    assert "the run has only 1 new rows to replace 2 existing rows" in harness.refused(
        harness.run("few", NEW), min_rows_ratio=0.6
    )
    assert harness.rows() == values(BEFORE)
    harness.published("none", allow_empty=True)
    assert harness.rows() == values([EARLY, LATE])


def test_a_day_without_rows_goes(tmp_path):
    harness = LakeHarness(tmp_path)
    harness.published(harness.run("old", OLD))
    done = harness.published(harness.run("none"), allow_empty=True)
    assert harness.rows() == []
    assert done.ddl[-1] == "ALTER TABLE `login` DROP IF EXISTS PARTITION (`date` = '2017-11-03')"
    again = harness.published("none", allow_empty=True)
    assert (again.before, again.ddl[-1]) == (True, done.ddl[-1])


def test_a_day_that_was_emptied_does_not_come_back_unless_it_is_forced(tmp_path):
    harness = LakeHarness(tmp_path)
    harness.published(harness.run("old", OLD))
    harness.published(harness.run("none"), allow_empty=True)
    assert "run tag none was published over old on 2017-11-03" in harness.refused("old")
    assert harness.rows() == []
    done = harness.published(harness.run("new", NEW))
    assert harness.rows() == values([NEW])
    assert "SET LOCATION" in done.ddl[-1]  # where nobody had told the catalog that it went


def test_rows_of_no_day_are_counted_and_not_published(tmp_path):
    harness = LakeHarness(tmp_path)
    done = harness.published(harness.run("new", NEW, ("", "timeless", "1")))
    assert (done.published, done.undated) == (1, 1)
    assert harness.rows() == values([NEW])


def test_a_table_without_a_time_is_refused_and_said_where_its_rows_lie(tmp_path):
    harness = LakeHarness(tmp_path)
    table = edge_logs.table("login", edge_logs.column("time", "varchar"), *LOGIN["Columns"][1:])
    assert f"{tmp_path}/out/new/" in harness.refused(harness.run("new", NEW, table=table))


SEEN = edge_logs.table(
    "login", *LOGIN["Columns"], edge_logs.column("seen", "f@timestamp@unix"), version=4
)


def test_a_run_that_was_made_by_another_column_than_the_settings_say_is_refused(harness):
    harness.run("seen", (*NEW, OUTSIDE[0]), table=SEEN, time_column="seen")
    with pytest.raises(SettingsError, match="time_column is time, but run tag seen is partitioned"):
        harness.publish("seen")


def test_days_of_one_column_are_not_replaced_by_days_of_another(harness):
    harness.run("seen", (*OUTSIDE, NEW[0]), table=SEEN, time_column="seen")
    warehouse = harness.settings.warehouse.model_copy(update={"time_column": "seen"})
    harness.settings = harness.settings.model_copy(update={"warehouse": warehouse})
    assert "by the days of time, but run tag seen by those of seen" in harness.refused("seen")
    assert harness.rows() == values(BEFORE)


def test_a_run_without_parquet_files_is_refused(harness):
    with pytest.raises(UsageError, match="has only TSV files, and a lake needs Parquet"):
        harness.publish(harness.run("tsv", NEW, formats="tsv"))


def test_a_run_whose_input_was_damaged_is_refused_unless_that_is_allowed(harness, capsys):
    harness.run("cut", NEW, damaged=(CorruptObject("20171103/a.gz", "it is cut off"),))
    command = f"spade-spark export publish cut --to {harness.to} --allow-damaged 1"
    conf = harness.folder / "conf.toml"
    conf.write_text(f'[output]\nbase = "{harness.folder}/out/"\n')
    assert main(["export", "publish", "cut", "--to", harness.to, "--conf", str(conf)]) == 1
    said = capsys.readouterr().err
    assert "run tag cut read 1 corrupt object, so nothing was published" in said
    assert command in said
    assert harness.rows() == values(BEFORE)
    assert main([*command.split()[1:], "--conf", str(conf)]) == 0
    assert harness.rows() == values([EARLY, NEW, LATE])


def test_a_quarantine_does_not_take_the_place_of_what_it_was_left_out_of(harness):
    with pytest.raises(UsageError, match="replay the window and publish the new run"):
        harness.publish(harness.run("old.quarantine", NEW))
    assert harness.rows() == values(BEFORE)


def test_a_table_that_the_run_did_not_make_is_refused(harness):
    with pytest.raises(UsageError, match="run tag new has no table logn"):
        harness.publish("new", "logn")


def test_a_file_that_is_not_what_its_record_says_is_not_published(harness):
    (entry,) = harness.store.list("new/login/date=")
    harness.store.write(entry.key, harness.store.read(entry.key)[:-1] + b"?")
    assert "does not match its checksum" in harness.refused("new")
    assert harness.rows() == values(BEFORE)


def test_the_command_tells_what_it_did_as_json_too(harness, capsys):
    conf = harness.folder / "conf.toml"
    conf.write_text(f'[output]\nbase = "{harness.folder}/out/"\n')
    words = [
        "--to",
        harness.to,
        "--conf",
        str(conf),
        "--json",
        "--ddl",
        "spectrum",
        "--schema",
        "s",
    ]
    assert main(["export", "publish", "new", "login", *words]) == 0
    told = json.loads(capsys.readouterr().out)
    (table,) = told["tables"]
    assert (told["complete"], table["published"]) == (True, 2)
    assert table["ddl"][0].startswith('ALTER TABLE "s"."login" ADD IF NOT EXISTS PARTITION')
    assert main(["export", "publish", "old", *words]) == 1
    assert "use --force" in json.loads(capsys.readouterr().out)["tables"][0]["reason"]
    assert main(["export", "publish", "gone", *words]) == 1
    assert f"there is no run in {harness.folder}/out/gone/" in capsys.readouterr().err
    harness.store.write("begun/_plan.json", encode(replace(PLAN, run_tag="begun")))
    assert main(["export", "publish", "begun", *words]) == 1
    assert "`spade-spark runs begun` shows how to resume it" in capsys.readouterr().err
    assert main(["export", "publish", "../gone", *words]) == 2
    assert "is not a valid run tag" in capsys.readouterr().err


WIDER = edge_logs.table(
    "login",
    edge_logs.column("time", "f@timestamp@unix"),
    edge_logs.column("login", "varchar"),
    edge_logs.column("n", "bigint"),
    edge_logs.column("more", "bool"),
    version=4,
)


def test_rows_that_stay_take_the_new_columns_and_types(harness):
    done = harness.published(harness.run("wider", (*NEW, "true"), table=WIDER))
    assert done.ddl[0] == "ALTER TABLE `login` ADD COLUMNS (`more` boolean)"
    paths = [harness._local(file.key) for file in harness.current.partitions["2017-11-03"].files]
    types, rows = query(f"SELECT login, n, more FROM read_parquet({paths}) ORDER BY time")
    assert types == ["VARCHAR", "BIGINT", "BOOLEAN"]
    assert rows == [("early", 1, None), ("new", 5, True), ("late", 4, None)]


def test_who_lost_the_statements_for_a_new_column_is_told_them_again(harness):
    harness.run("wider", (*NEW, "true"), table=WIDER)
    assert harness.published("wider").if_lacking == ()
    harness.published(
        harness.run("later", LATE, window=("2017-11-03 12:00:00", "2017-11-03 12:59:59"))
    )
    report = harness.publish("wider")
    (again,) = report.tables
    assert again.if_lacking == ("ALTER TABLE `login` ADD COLUMNS (`more` boolean)",)
    assert again.if_lacking[0] not in again.ddl  # which are run as they are
    print_export(report, Console(file=(shown := io.StringIO()), width=120))
    assert f"  {again.if_lacking[0]};\n" in shown.getvalue()


def test_columns_that_went_are_kept_in_the_rows_that_stay(harness):
    narrow = edge_logs.table("login", *LOGIN["Columns"][:2], version=4)
    harness.published(harness.run("narrow", NEW[:2], table=narrow))
    assert harness.rows() == [*values([EARLY]), (*NEW[:2], None), *values([LATE])]
    assert [column.name for column in harness.current.columns] == ["time", "login", "n"]


def test_rows_that_stay_and_cannot_take_a_new_type_are_named(harness):
    numbers = edge_logs.table(
        "login", LOGIN["Columns"][0], edge_logs.column("login", "int"), version=4
    )
    reason = harness.refused(harness.run("numbers", (NEW[0], "5"), table=numbers))
    assert (
        "column login of the rows outside the window, which are kept, cannot be converted to int32"
        in reason
    )
    assert harness.rows() == values(BEFORE)


def test_who_lists_a_table_sees_no_row_twice(harness):
    harness.published("new")
    assert [entry.key for entry in harness.lake.list("login/")] == ["login/_current.json"]
    listed = pyarrow.dataset.dataset(f"{harness.to}login/", format="parquet", partitioning="hive")
    assert listed.files == []


def test_who_lists_what_a_catalog_points_at_sees_that_day(harness):
    """As Athena and Redshift Spectrum do: no part of a folder's name makes them pass over it."""
    harness.published("new")
    location = harness.current.partitions["2017-11-03"].location
    listed = pyarrow.dataset.dataset(harness.to + location, format="parquet", partitioning="hive")
    assert listed.count_rows() == len(AFTER)
    assert not any(part.startswith(("_", ".")) for part in Path(location).parts)


def test_a_table_that_is_called_like_the_folder_of_all_is_published_like_others(tmp_path):
    harness = LakeHarness(tmp_path)
    table = edge_logs.table("publications", *LOGIN["Columns"])
    for tag in ("old", "new"):
        harness.published(harness.run(tag, NEW, table=table))
    current = load_snapshot(harness.lake, "publications").snapshot
    assert current
    ((file,),) = [day.files for day in current.partitions.values()]
    later = datetime.now(timezone.utc) + timedelta(days=1)
    ((old,),) = [each.objects for each in find_unreferenced(harness.lake, later)]
    assert (current.serial, "/old-" in old.key, "/new-" in file.key) == (2, True, True)


class Killed(BaseException):
    """The process is gone."""


class Breaking:
    """A store at one of whose calls, just before or just after it is done, the process dies."""

    def __init__(self, store, at, *, done):
        self._store, self._left, self._done = store, at, done
        self.url = store.url

    def __getattr__(self, name):
        call = getattr(self._store, name)

        def counted(*arguments, **named):
            self._left -= 1
            if self._left == -1 and not self._done:
                raise Killed
            answer = call(*arguments, **named)
            if self._left == -1:
                raise Killed
            return answer

        return counted

    @property
    def broke(self):
        return self._left < 0


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_killed_at_any_call_and_run_again_it_is_done_once(harness, tmp_path, monkeypatch, done):
    kept = tmp_path / "kept"
    shutil.copytree(harness.to, kept)
    for at in range(100):
        shutil.rmtree(harness.to)
        shutil.copytree(kept, harness.to)
        breaking = Breaking(harness.lake, at, done=done)
        with monkeypatch.context() as patch:
            patch.setattr(
                lake_export,
                "open_store",
                lambda url, s3, broken=breaking: (
                    broken if url == harness.to else open_store(url, s3)
                ),
            )
            if not_killed(harness):
                break
        assert breaking.broke
        assert harness.rows() in (values(BEFORE), values(AFTER))
        harness.published("new")
        assert harness.rows() == values(AFTER)
        assert harness.current.serial == 2
    assert 3 < at < 99


def not_killed(harness):
    try:
        harness.published("new")
    except Killed:
        return False
    return True


class Preceded:
    """A store whose pointer is swapped by somebody else right before the first swap."""

    def __init__(self, store, first):
        self._store, self._first = store, first
        self.url = store.url

    def __getattr__(self, name):
        if name in {"replace", "write"} and self._first:
            first, self._first = self._first, None
            first()
        return getattr(self._store, name)


@pytest.fixture
def on_s3(tmp_path, bucket, s3_settings):
    return prepared(LakeHarness(tmp_path, f"s3://{bucket}/lake/", s3_settings))


@pytest.mark.parametrize("kind", ["harness", "on_s3"])
def test_of_two_at_once_the_second_goes_on_from_what_the_first_has_made(request, monkeypatch, kind):
    harness = request.getfixturevalue(kind)
    other = ("2017-11-03 12:00:00", "other", "7")
    harness.run("other", other, window=("2017-11-03 12:00:00", "2017-11-03 12:59:59"))
    preceded = Preceded(harness.lake, lambda: harness.published("other"))
    with monkeypatch.context() as patch:
        stores = iter([harness.store, preceded])
        patch.setattr(
            lake_export, "open_store", lambda *where: next(stores, None) or open_store(*where)
        )
        harness.published("new")
    assert harness.rows() == values([EARLY, NEW, NEW_END, other])
    assert harness.current.serial == 3


def test_many_at_once_all_end_right(tmp_path):
    harness = LakeHarness(tmp_path)
    rows = [(f"2017-11-03 {hour:02}:30:00", f"user {hour}", str(hour)) for hour in range(6)]
    tags = [
        harness.run(
            f"run{hour}",
            row,
            window=(f"2017-11-03 {hour:02}:00:00", f"2017-11-03 {hour:02}:59:59"),
        )
        for hour, row in enumerate(rows)
    ]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(harness.published, tags))
    assert harness.rows() == values(rows)
    assert harness.current.serial == 6


@pytest.mark.parametrize("kind", ["cut", "error", "throttled", "wrong_length"])
def test_faults_of_the_store_leave_no_row_out_and_none_twice(
    tmp_path, bucket, s3_server, s3_settings, kind
):
    with FaultyS3(s3_server.endpoint_url) as faulty:
        faulty_settings = s3_settings.model_copy(update={"endpoint_url": faulty.endpoint_url})
        harness = prepared(LakeHarness(tmp_path, f"s3://{bucket}/lake/", faulty_settings))
        for request in ("PUT .*_current", "GET .*_current", "PUT .*new-"):
            faulty.inject(request, kind)
        harness.published("new")
        assert faulty.triggered[kind] >= 3
        faulty.clear_faults()
        assert harness.rows() == values(AFTER)
        assert harness.current.serial == 2


def test_a_window_over_midnight_replaces_a_part_of_both_days(tmp_path):
    harness = LakeHarness(tmp_path)
    last, first = ("2017-11-03 23:30:00", "a", "1"), ("2017-11-04 00:30:00", "b", "2")
    kept = ("2017-11-04 02:00:00", "c", "3")
    harness.published(
        harness.run("old", EARLY, last, first, kept, window=(NOVEMBER_3[0], "2017-11-04 23:59:59"))
    )
    done = harness.published(
        harness.run(
            "new",
            ("2017-11-03 23:59:59", "d", "4"),
            ("2017-11-04 00:00:00", "e", "5"),
            window=("2017-11-03 23:00:00", "2017-11-04 00:59:59"),
        )
    )
    assert done.days == ("2017-11-03", "2017-11-04")
    assert harness.rows() == values(
        [EARLY, ("2017-11-03 23:59:59", "d", "4"), ("2017-11-04 00:00:00", "e", "5"), kept]
    )
