"""Publishing to a lake: readers of the snapshot see a consistent table at all times."""

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
from spade_spark.storage.json_codec import encode
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
OUTSIDE = ("2017-11-03 12:30:00", "in the margin", "6")
BEFORE = [EARLY, OLD, OLD_END, LATE]
AFTER = [EARLY, NEW, NEW_END, LATE]


def values(rows):
    return [(time, login, int(n) if n else None) for time, login, n in rows]


@pytest.fixture
def harness(tmp_path):
    """A lake with old rows of one day, and a run of two hours of that day."""
    return prepared(LakeHarness(tmp_path))


def prepared(harness):
    harness.published(harness.run("old", *BEFORE, window=NOVEMBER_3))
    harness.run("new", NEW, NEW_END, OUTSIDE)
    return harness


def test_rows_in_the_window_are_replaced_and_other_rows_of_the_day_are_kept(harness):
    done = harness.published("new")
    assert harness.rows() == values(AFTER)
    assert (done.replaced, done.published, done.carried, done.outside) == (2, 2, 2, 1)
    assert done.days == ("2017-11-03",)


def test_a_file_entirely_outside_the_window_is_copied_unchanged(tmp_path):
    harness = LakeHarness(tmp_path)
    harness.published(harness.run("old", EARLY, OLD, window=NOVEMBER_3, files=2))
    before = {file.sha256 for file in harness.current.partitions["2017-11-03"].files}
    harness.published(harness.run("new", NEW))
    after = {file.sha256 for file in harness.current.partitions["2017-11-03"].files}
    assert harness.rows() == values([EARLY, NEW])
    assert len(before & after) == 1


def test_other_days_are_not_modified(harness):
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


def test_publishing_a_run_twice_changes_nothing(harness):
    harness.published("new")
    before = harness.current
    again = harness.published("new")
    assert (again.before, again.days, harness.current) == (True, (), before)
    assert again.ddl


def test_a_run_without_rows_in_the_window_changes_nothing(tmp_path):
    harness = LakeHarness(tmp_path)
    report = harness.publish(harness.run("margin", OUTSIDE))
    (done,) = report.tables
    assert (done.before, done.days, done.published, done.outside) == (False, (), 0, 1)
    assert harness.current is None
    print_export(report, Console(file=(shown := io.StringIO()), width=120))
    assert "nothing to publish" in shown.getvalue()


def test_only_days_that_later_runs_replaced_are_published_again(tmp_path):
    harness = LakeHarness(tmp_path)
    next_day = ("2017-11-04 10:00:00", "next", "1")
    harness.run("both", OLD, next_day, window=(NOVEMBER_3[0], "2017-11-04 23:59:59"))
    harness.published("both")
    harness.published(harness.run("new", NEW))
    done = harness.published("both", force=True)
    assert (done.days, done.published, done.outside) == (("2017-11-03",), 1, 0)
    assert harness.rows() == values([OLD, next_day])


def test_a_run_is_published_over_a_later_one_only_with_force(harness):
    harness.published("new")
    assert "run tag new replaced rows of run tag old on 2017-11-03" in harness.refused("old")
    harness.published("old", force=True)
    assert harness.rows() == values(BEFORE)


@pytest.mark.parametrize(
    "window",
    [NOVEMBER_3, ("2017-11-03 00:00:00", "2017-11-04 23:59:59")],
    ids=["the same window", "a wider one"],
)
def test_a_run_without_remaining_rows_is_published_again_only_with_force(harness, window):
    harness.published(harness.run("whole", NEW, NEW_END, window=window))
    assert "run tag whole replaced rows of run tag old on 2017-11-03" in harness.refused("old")
    assert harness.rows() == values([NEW, NEW_END])
    harness.published("old", force=True)
    assert harness.rows() == values(BEFORE)
    assert "run tag old replaced rows of run tag whole on 2017-11-03" in harness.refused("whole")


def test_existing_rows_are_replaced_by_none_or_few_only_if_allowed(harness):
    harness.run("none", OUTSIDE)
    assert "to replace 2 existing rows. If this is correct, use --allow-empty" in harness.refused(
        "none"
    )
    too_few = harness.refused(harness.run("few", NEW), min_rows_ratio=0.6)
    assert "run tag few has only 1 new row to replace 2 existing rows" in too_few
    assert too_few.endswith("use --min-rows-ratio 0.5 or less")
    assert harness.rows() == values(BEFORE)
    harness.published("none", allow_empty=True)
    assert harness.rows() == values([EARLY, LATE])


def test_a_day_without_rows_is_dropped(tmp_path):
    harness = LakeHarness(tmp_path)
    harness.published(harness.run("old", OLD))
    done = harness.published(harness.run("none"), allow_empty=True)
    assert harness.rows() == []
    assert done.ddl[-1] == "ALTER TABLE `login` DROP IF EXISTS PARTITION (`date` = '2017-11-03')"
    again = harness.published("none", allow_empty=True)
    assert (again.before, again.ddl[-1]) == (True, done.ddl[-1])


def test_an_emptied_day_is_published_again_only_with_force(tmp_path):
    harness = LakeHarness(tmp_path)
    harness.published(harness.run("old", OLD))
    harness.published(harness.run("none"), allow_empty=True)
    assert "run tag none replaced rows of run tag old on 2017-11-03" in harness.refused("old")
    assert harness.rows() == []
    done = harness.published(harness.run("new", NEW))
    assert harness.rows() == values([NEW])
    assert "SET LOCATION" in done.ddl[-1]  # in case the catalog still has the partition


def test_rows_without_a_day_are_counted_and_not_published(tmp_path):
    harness = LakeHarness(tmp_path)
    done = harness.published(harness.run("new", NEW, ("", "timeless", "1")))
    assert (done.published, done.undated) == (1, 1)
    assert harness.rows() == values([NEW])


def test_a_table_without_a_time_column_is_refused_with_the_location_of_its_rows(tmp_path):
    harness = LakeHarness(tmp_path)
    table = edge_logs.table("login", edge_logs.column("time", "varchar"), *LOGIN["Columns"][1:])
    assert f"{tmp_path}/out/new/" in harness.refused(harness.run("new", NEW, table=table))


SEEN = edge_logs.table(
    "login", *LOGIN["Columns"], edge_logs.column("seen", "f@timestamp@unix"), version=4
)


def test_a_run_with_another_time_column_than_the_settings_is_refused(harness):
    harness.run("seen", (*NEW, OUTSIDE[0]), table=SEEN, time_column="seen")
    with pytest.raises(SettingsError, match="time_column is time, but run tag seen is partitioned"):
        harness.publish("seen")


def test_partitions_by_one_column_are_not_replaced_by_partitions_by_another(harness):
    harness.run("seen", (*OUTSIDE, NEW[0]), table=SEEN, time_column="seen")
    warehouse = harness.settings.warehouse.model_copy(update={"time_column": "seen"})
    harness.settings = harness.settings.model_copy(update={"warehouse": warehouse})
    assert "is partitioned by time, but run tag seen by seen" in harness.refused("seen")
    assert harness.rows() == values(BEFORE)


def test_a_run_without_parquet_files_is_refused(harness):
    with pytest.raises(UsageError, match="has only TSV files, and a lake needs Parquet"):
        harness.publish(harness.run("tsv", NEW, formats="tsv"))


def test_a_run_with_corrupt_input_is_refused_unless_allowed(harness, capsys):
    harness.run("cut", NEW, damaged=(CorruptObject("20171103/a.gz", "it is cut off"),))
    command = f"spade-spark export publish cut --to {harness.to} --allow-damaged 1"
    conf = harness.folder / "conf.toml"
    conf.write_text(f'[output]\nbase = "{harness.folder}/out/"\n')
    assert main(["export", "publish", "cut", "--to", harness.to, "--conf", str(conf)]) == 1
    message = capsys.readouterr().err
    assert "run tag cut read 1 corrupt object, so nothing was published" in message
    assert command in message
    assert harness.rows() == values(BEFORE)
    assert main([*command.split()[1:], "--conf", str(conf)]) == 0
    assert harness.rows() == values([EARLY, NEW, LATE])


def test_a_quarantine_run_is_refused(harness):
    with pytest.raises(UsageError, match="replay the window and publish the new run"):
        harness.publish(harness.run("old.quarantine", NEW))
    assert harness.rows() == values(BEFORE)


def test_a_table_that_the_run_does_not_have_is_refused(harness):
    with pytest.raises(UsageError, match="run tag new has no table logn"):
        harness.publish("new", "logn")


def test_a_file_with_another_checksum_is_not_published(harness):
    (entry,) = harness.store.list("new/login/date=")
    harness.store.write(entry.key, harness.store.read(entry.key)[:-1] + b"?")
    assert "does not match its checksum" in harness.refused("new")
    assert harness.rows() == values(BEFORE)


def test_the_command_prints_its_result_as_json(harness, capsys):
    conf = harness.folder / "conf.toml"
    conf.write_text(f'[output]\nbase = "{harness.folder}/out/"\n')
    options = f"--to {harness.to} --conf {conf} --json --ddl spectrum --schema s".split()
    assert main(["export", "publish", "new", "login", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    (table,) = report["tables"]
    assert (report["complete"], table["published"]) == (True, 2)
    assert table["ddl"][0].startswith('ALTER TABLE "s"."login" ADD IF NOT EXISTS PARTITION')
    assert main(["export", "publish", "old", *options]) == 1
    assert "use --force" in json.loads(capsys.readouterr().out)["tables"][0]["reason"]
    assert main(["export", "publish", "gone", *options]) == 1
    assert f"run tag gone does not exist in {harness.folder}/out/" in capsys.readouterr().err
    harness.store.write("started/_plan.json", encode(replace(PLAN, run_tag="started")))
    assert main(["export", "publish", "started", *options]) == 1
    assert "`spade-spark runs started` shows how to resume it" in capsys.readouterr().err
    assert main(["export", "publish", "../gone", *options]) == 2
    assert "is not a valid run tag" in capsys.readouterr().err


WIDER = edge_logs.table(
    "login",
    edge_logs.column("time", "f@timestamp@unix"),
    edge_logs.column("login", "varchar"),
    edge_logs.column("n", "bigint"),
    edge_logs.column("more", "bool"),
    version=4,
)


def test_kept_rows_get_the_new_columns_and_types(harness):
    done = harness.published(harness.run("wider", (*NEW, "true"), table=WIDER))
    assert done.ddl[0] == "ALTER TABLE `login` ADD COLUMNS (`more` boolean)"
    paths = [harness._local(file.key) for file in harness.current.partitions["2017-11-03"].files]
    types, rows = query(f"SELECT login, n, more FROM read_parquet({paths}) ORDER BY time")
    assert types == ["VARCHAR", "BIGINT", "BOOLEAN"]
    assert rows == [("early", 1, None), ("new", 5, True), ("late", 4, None)]


def test_publishing_again_repeats_the_statements_for_a_new_column(harness):
    harness.run("wider", (*NEW, "true"), table=WIDER)
    assert harness.published("wider").if_lacking == ()
    harness.published(
        harness.run("later", LATE, window=("2017-11-03 12:00:00", "2017-11-03 12:59:59"))
    )
    report = harness.publish("wider")
    (again,) = report.tables
    assert again.if_lacking == ("ALTER TABLE `login` ADD COLUMNS (`more` boolean)",)
    assert again.if_lacking[0] not in again.ddl  # the statements in ddl can be run without changes
    print_export(report, Console(file=(shown := io.StringIO()), width=120))
    assert f"  {again.if_lacking[0]};\n" in shown.getvalue()


def test_kept_rows_keep_columns_that_the_run_does_not_have(harness):
    narrow = edge_logs.table("login", *LOGIN["Columns"][:2], version=4)
    harness.published(harness.run("narrow", NEW[:2], table=narrow))
    assert harness.rows() == [*values([EARLY]), (*NEW[:2], None), *values([LATE])]
    assert [column.name for column in harness.current.columns] == ["time", "login", "n"]


def test_kept_rows_that_cannot_be_converted_are_reported(harness):
    numbers = edge_logs.table(
        "login", LOGIN["Columns"][0], edge_logs.column("login", "int"), version=4
    )
    reason = harness.refused(harness.run("numbers", (NEW[0], "5"), table=numbers))
    assert "column login of existing rows outside the window cannot be converted to int32" in reason
    assert harness.rows() == values(BEFORE)


def test_listing_a_table_shows_no_row_twice(harness):
    harness.published("new")
    assert [entry.key for entry in harness.lake.list("login/")] == ["login/_current.json"]
    listed = pyarrow.dataset.dataset(f"{harness.to}login/", format="parquet", partitioning="hive")
    assert listed.files == []


def test_listing_the_location_of_a_partition_shows_the_rows_of_its_day(harness):
    """As Athena and Redshift Spectrum do: no part of the folder's name makes them skip it."""
    harness.published("new")
    location = harness.current.partitions["2017-11-03"].location
    listed = pyarrow.dataset.dataset(harness.to + location, format="parquet", partitioning="hive")
    assert listed.count_rows() == len(AFTER)
    assert not any(part.startswith(("_", ".")) for part in Path(location).parts)


def test_a_table_called_publications_is_published_like_any_other(tmp_path):
    harness = LakeHarness(tmp_path)
    table = edge_logs.table("publications", *LOGIN["Columns"])
    for tag in ("old", "new"):
        harness.published(harness.run(tag, NEW, table=table))
    current = load_snapshot(harness.lake, "publications").snapshot
    assert current
    ((file,),) = [day.files for day in current.partitions.values()]
    later = datetime.now(timezone.utc) + timedelta(days=1)
    ((old,),) = [table.objects for table in find_unreferenced(harness.lake, later)]
    assert (current.serial, "/old-" in old.key, "/new-" in file.key) == (2, True, True)


class Killed(BaseException):
    """The process was killed."""


class KillingStore:
    """A store that kills the process before or after one of its calls."""

    def __init__(self, store, at, *, done):
        self._store, self._calls_left, self._done = store, at, done
        self.url = store.url

    def __getattr__(self, name):
        call = getattr(self._store, name)

        def counted(*arguments, **named):
            self._calls_left -= 1
            if self._calls_left == -1 and not self._done:
                raise Killed
            result = call(*arguments, **named)
            if self._calls_left == -1:
                raise Killed
            return result

        return counted

    @property
    def has_killed(self):
        return self._calls_left < 0


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_publication_killed_at_any_call_is_completed_by_the_next_run(
    harness, tmp_path, monkeypatch, done
):
    backup = tmp_path / "backup"
    shutil.copytree(harness.to, backup)
    for at in range(100):
        shutil.rmtree(harness.to)
        shutil.copytree(backup, harness.to)
        killing = KillingStore(harness.lake, at, done=done)
        with monkeypatch.context() as patch:
            patch.setattr(
                lake_export,
                "open_store",
                lambda url, s3, broken=killing: (
                    broken if url == harness.to else open_store(url, s3)
                ),
            )
            if completes(harness):
                break
        assert killing.has_killed
        assert harness.rows() in (values(BEFORE), values(AFTER))
        harness.published("new")
        assert harness.rows() == values(AFTER)
        assert harness.current.serial == 2
    assert 3 < at < 99


def completes(harness):
    try:
        harness.published("new")
    except Killed:
        return False
    return True


class OvertakenStore:
    """A store in which another publication commits right before the first commit."""

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
def test_the_second_of_two_concurrent_publications_builds_on_the_first(request, monkeypatch, kind):
    harness = request.getfixturevalue(kind)
    other = ("2017-11-03 12:00:00", "other", "7")
    harness.run("other", other, window=("2017-11-03 12:00:00", "2017-11-03 12:59:59"))
    overtaken = OvertakenStore(harness.lake, lambda: harness.published("other"))
    with monkeypatch.context() as patch:
        stores = iter([harness.store, overtaken])
        patch.setattr(
            lake_export, "open_store", lambda *where: next(stores, None) or open_store(*where)
        )
        harness.published("new")
    assert harness.rows() == values([EARLY, NEW, NEW_END, other])
    assert harness.current.serial == 3


def test_many_concurrent_publications_all_succeed(tmp_path):
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
def test_faults_of_the_store_neither_lose_nor_duplicate_rows(
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
