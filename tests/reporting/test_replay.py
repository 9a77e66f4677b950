"""The summary of a replay."""

import io
import json
from dataclasses import replace
from datetime import datetime, timezone

import msgspec
import pytest
from rich.console import Console

from spade_spark.blueprint.schema import SkippedTable
from spade_spark.reporting.replay import ReplayReport, print_summary
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.load_results import LoadAlreadyDone, LoadFailed, TableLoaded
from spade_spark.runs.manifest import CorruptObject, Manifest, ManifestTable, RowFile, UntrackedFile
from spade_spark.streams.counts import StreamCounts
from spade_spark.transform.edge_type_audit import EdgeTypeCounts
from spade_spark.transform.outcomes import Outcome

EVENTS = {"login": {Outcome.SUCCESS: 1234}, "": {Outcome.MALFORMED: 5}}
MANIFEST = Manifest(
    run_tag="r",
    plan="",
    window=("a", "b"),
    created=datetime(2017, 11, 3, tzinfo=timezone.utc),
    tables=(ManifestTable("login", 3, ("t",), (RowFile("login", 3, "k", 1234, 9, ""),)),),
    counts=AuditCounts(2, 2_500_000, 9_900_000, 1240, 1, 0, 1239, EVENTS),
)
LOADED = TableLoaded("login", 1000, 1240, 6, 1000, 1234, 2.5, write_lock_seconds=0.4)
REPORT = ReplayReport("r", "s3://out/r/", "the window", MANIFEST, (LOADED,), seconds=12.3)


def printed(report, width=80):
    stream = io.StringIO()
    print_summary(report, Console(file=stream, width=width))
    return stream.getvalue()


def test_a_complete_run_is_reported_with_its_url():
    text = printed(REPORT)
    assert (
        "Read 2 objects, 2.5 MB (9.9 MB decompressed), 1,240 lines. "
        "Wrote 1,234 rows to 1 file. Total time: 12 s.\n"
    ) in text
    assert "Done. Run output: s3://out/r/" in text
    assert REPORT.complete


def test_the_input_is_counted_by_outcome_with_its_meaning():
    text = printed(REPORT)
    assert "undecodable lines" in text
    assert "its payload cannot be decoded" in text
    assert "not_asked" not in text


def test_a_load_shows_the_rows_before_deleted_and_inserted():
    (line,) = [
        line for line in printed(REPORT).splitlines() if "loaded" in line and "1,000" in line
    ]
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        "login",
        "1,000",
        "1,000",
        "1,234",
        "6",
        "2.5",
        "0.4",
        "loaded",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"loads": (LoadFailed("login", "COPY refused."),)},
            "Table login was not loaded: COPY",
        ),
        ({"loads": (LoadFailed("login", "?", unknown=True),)}, "UNKNOWN"),
        ({"problems": ("2 corrupt objects",)}, "2 corrupt objects"),
        (
            {"left_out": (SkippedTable("chat", "no transformer"),)},
            "Table chat was skipped: no tran",
        ),
    ],
)
def test_every_failure_is_reported(change, message):
    report = replace(REPORT, **change)
    assert message in printed(report)
    assert "INCOMPLETE: see the errors above" in printed(report)
    assert not report.complete


def test_a_table_that_an_earlier_command_loaded_is_complete():
    at = datetime(2017, 11, 3, 12, 30, tzinfo=timezone.utc)
    report = replace(REPORT, loads=(LoadAlreadyDone("login", at, 1000, 1234),))
    assert "already loaded" in printed(report)
    assert (
        "Table login: skipped, this run was already loaded at 2017-11-03 12:30:00 UTC"
        in printed(report)
    )
    assert report.complete


def test_a_table_on_the_reference_path_is_reported_but_is_not_a_failure():
    report = replace(
        REPORT, manifest=msgspec.structs.replace(MANIFEST, fallbacks={"login": "no columns"})
    )
    message = "Table login was transformed by the slower reference path: no columns"
    assert message in printed(report)
    assert "reference path" not in printed(REPORT)
    document = json.loads(report.to_json())
    assert document["manifest"]["fallbacks"] == {"login": "no columns"}
    assert report.complete


def test_many_tables_on_the_reference_path_are_named_up_to_a_limit():
    fallbacks = {f"table-{number}": "no columns" for number in range(12)}
    text = printed(
        replace(REPORT, manifest=msgspec.structs.replace(MANIFEST, fallbacks=fallbacks)), width=300
    )
    assert "Table table-9 was transformed by the slower reference path" in text
    assert "table-10" not in text
    assert "2 more tables on the slower reference path; s3://out/r/_rep" in text


def test_a_failed_event_fails_the_run():
    counts = MANIFEST.counts + AuditCounts(events={"login": {Outcome.FAILED: 2}})
    manifest = msgspec.structs.replace(
        MANIFEST, counts=counts, failures=(("u-1", "ValueError: x"),)
    )
    report = replace(REPORT, manifest=manifest)
    assert "Event u-1 failed: ValueError: x" in printed(report)
    assert "2 events failed because of a bug in spade-spark" in printed(report)
    assert not report.complete


def test_truncated_values_are_counted_by_column():
    report = replace(REPORT, loads=(replace(LOADED, truncated={"id": 7}),))
    assert "login.id: 7 values truncated to the column's length" in printed(report)


def test_the_time_of_the_write_lock_is_shown_if_other_writers_had_to_wait():
    assert "locked" in printed(REPORT)
    report = replace(REPORT, loads=(replace(LOADED, write_lock_seconds=None),))
    assert "locked" not in printed(report)


def test_the_name_of_a_loaded_table_is_printed_as_text():
    report = replace(REPORT, loads=(replace(LOADED, table="[red]x[/]"),))
    assert "│ [red]x[/] │" in printed(report, width=120)


def test_corrupt_objects_are_named_up_to_a_limit():
    damaged = tuple(CorruptObject(f"k{n}", f"k{n} is cut off") for n in range(30))
    text = printed(replace(REPORT, manifest=msgspec.structs.replace(MANIFEST, damaged=damaged)))
    assert "k0 is cut off" in text
    assert "20 more corrupt objects; s3://out/r/_report.json lists all of them" in text


def test_a_command_is_never_wrapped():
    command = "--skip-transform --runtag " + "x" * 100
    assert command in printed(replace(REPORT, problems=(command,)), width=60)


def published(**fields):
    counts = replace(MANIFEST.counts, streams={"stream/views": StreamCounts(**fields)})
    return replace(REPORT, manifest=msgspec.structs.replace(MANIFEST, counts=counts))


def test_published_rows_have_their_own_table():
    report = published(rows=1234, published=1000, records=7, filtered=200, empty=4, outside=30)
    (line,) = [line for line in printed(report).splitlines() if "stream/views" in line]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == ["stream/views", "1,000", "7", "204", "30", "0"]
    assert report.complete
    assert "Published rows" not in printed(REPORT)


def test_throttling_and_possible_duplicates_are_reported_but_are_not_a_failure():
    report = published(throttled=12, repeated=2000)
    text = printed(report, width=300)
    assert "Stream stream/views: records were throttled 12 times" in text
    assert "up to 2,000 rows may have been published twice" in text
    assert report.complete


def test_rows_that_a_stream_rejected_are_a_failure():
    report = published(rows=9, dropped=9, throttled=20, internal_errors=1)
    text = printed(report, width=300)
    assert "Stream stream/views: 9 rows not published" in text
    assert "(20 throttled, 1 internal failures, 0 other errors)" in text
    assert "under a new run tag (consumers will receive all other rows twice)" in text
    assert "spade-spark replay a b login --skip-ace-upload --publish views" in text
    assert "INCOMPLETE: see the errors above" in text
    assert not report.complete


def with_counts(**fields):
    counts = replace(MANIFEST.counts, **fields)
    return printed(
        replace(REPORT, manifest=msgspec.structs.replace(MANIFEST, counts=counts)), width=100
    )


def test_lines_of_repeated_globs_are_reported_with_the_globs():
    text = with_counts(globs=20, repeated_globs=2, repeated=70)
    assert "repeated lines" in text
    assert "from 2 repeated globs of 20" in text


def test_untracked_events_are_reported_with_the_suggest_command():
    untracked = (UntrackedFile("s3://out/r/_untracked/a.gz", 3, 9),)
    text = printed(replace(REPORT, manifest=msgspec.structs.replace(MANIFEST, untracked=untracked)))
    assert "To propose schemas for the untracked events: spade-spark suggest r" in text
    assert "suggest" not in printed(REPORT)


def test_edge_type_mismatches_are_reported_but_are_not_a_failure():
    counts = {
        "login": EdgeTypeCounts("internal", 1234, 30, 4),
        "chat": EdgeTypeCounts("external", 10, 0, 0),
        "page": EdgeTypeCounts("", 50, 0, 50),
    }
    text = with_counts(edge_types=counts)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    assert ["page", "-", "50", "0", "50"] in rows
    assert rows.index(["page", "-", "50", "0", "50"]) < rows.index(
        ["login", "internal", "1,234", "30", "4"]
    )
    assert not any(row[:1] == ["chat"] for row in rows)
    assert "Done." in text


def test_expected_edge_types_are_not_reported():
    text = with_counts(edge_types={"a": EdgeTypeCounts("internal", 5)})
    assert "edge type" not in text


def test_the_most_edge_type_mismatches_are_listed_first_up_to_a_limit():
    edge_types = {f"event-{n}": EdgeTypeCounts("internal", 100, n) for n in range(1, 31)}
    text = with_counts(edge_types=edge_types)
    assert "top 10 of 30" in text
    assert "event-30" in text
    assert "event-20 " not in text
