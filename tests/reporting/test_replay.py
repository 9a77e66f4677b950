"""The summary: what a tired person reads at the end of a run."""

import io
import json
from dataclasses import replace
from datetime import datetime, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from spade_spark.blueprint.schema import SkippedTable
from spade_spark.reporting.render import format_size, pluralize
from spade_spark.reporting.replay import Report, print_summary
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.load_results import LoadAlreadyDone, LoadFailed, TableLoaded
from spade_spark.runs.manifest import Damaged, Manifest, ManifestTable, RowFile, UntrackedFile
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
LOADED = TableLoaded("login", 1000, 1240, 6, 1000, 1234, 2.5)
REPORT = Report("r", "s3://out/r/", "the window", MANIFEST, (LOADED,), seconds=12.3)


def printed(report, width=80):
    stream = io.StringIO()
    print_summary(report, Console(file=stream, width=width))
    return stream.getvalue()


def test_a_good_run_says_so_and_where_it_lies():
    text = printed(REPORT)
    assert (
        "Read 2 objects, 2.5 MB (9.9 MB inflated), 1,240 lines; wrote 1,234 rows in 1 file" in text
    )
    assert "Done. Everything of this run lies under s3://out/r/" in text
    assert REPORT.complete


def test_what_was_read_is_counted_by_outcome_with_its_meaning():
    text = printed(REPORT)
    assert "undecodable lines" in text
    assert "records whose payload cannot be read" in text
    assert "not_asked" not in text


def test_rows_before_deleted_and_inserted_stand_side_by_side():
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
        "loaded",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"loads": (LoadFailed("login", "COPY refused."),)},
            "Table login was not loaded: COPY",
        ),
        ({"loads": (LoadFailed("login", "?", unknown=True),)}, "UNKNOWN"),
        ({"problems": ("2 objects damaged",)}, "2 objects damaged"),
        (
            {"left_out": (SkippedTable("chat", "no transformer"),)},
            "Table chat was left out: no tran",
        ),
    ],
)
def test_whatever_is_not_done_is_named_and_never_hidden(change, said):
    report = replace(REPORT, **change)
    assert said in printed(report)
    assert "NOT everything was done" in printed(report)
    assert not report.complete


def test_what_an_earlier_command_loaded_is_done_and_said_to_be():
    at = datetime(2017, 11, 3, 12, 30, tzinfo=timezone.utc)
    report = replace(REPORT, loads=(LoadAlreadyDone("login", at, 1000, 1234),))
    assert "loaded before" in printed(report)
    assert (
        "Table login: nothing to do, this run was loaded into it at 2017-11-03 12:30:00 UTC"
        in printed(report)
    )
    assert report.complete


def test_a_table_that_fell_back_to_the_reference_path_is_named_and_is_no_failure():
    report = replace(
        REPORT, manifest=msgspec.structs.replace(MANIFEST, fallbacks={"login": "no columns"})
    )
    said = "Table login was transformed by the slower reference path: no columns"
    assert said in printed(report)
    assert "reference path" not in printed(REPORT)
    document = json.loads(report.to_json())
    assert document["manifest"]["fallbacks"] == {"login": "no columns"}
    assert report.complete


def test_of_many_tables_that_fell_back_some_are_named_and_the_others_counted():
    fallbacks = {f"table-{number}": "no columns" for number in range(12)}
    text = printed(
        replace(REPORT, manifest=msgspec.structs.replace(MANIFEST, fallbacks=fallbacks)), width=300
    )
    assert "Table table-9 was transformed by the slower reference path" in text
    assert "table-10" not in text
    assert "2 more tables were transformed by the slower reference path; s3://out/r/_rep" in text


def test_a_failed_event_fails_the_run():
    ledger = MANIFEST.counts + AuditCounts(events={"login": {Outcome.FAILED: 2}})
    manifest = msgspec.structs.replace(
        MANIFEST, counts=ledger, failures=(("u-1", "ValueError: x"),)
    )
    report = replace(REPORT, manifest=manifest)
    assert "Failed on event u-1: ValueError: x" in printed(report)
    assert not report.complete


def test_values_that_were_cut_are_said_by_column():
    report = replace(REPORT, loads=(replace(LOADED, truncated={"id": 7}),))
    assert "login.id: 7 values were cut to the column's length" in printed(report)


def test_damaged_objects_are_named_up_to_a_bound():
    damaged = tuple(Damaged(f"k{n}", f"k{n} is cut off") for n in range(30))
    text = printed(replace(REPORT, manifest=msgspec.structs.replace(MANIFEST, damaged=damaged)))
    assert "k0 is cut off" in text
    assert "20 more damaged objects; all of them in s3://out/r/_report.json" in text


def test_a_command_to_copy_is_never_broken_by_a_line_end():
    command = "--skip-transform --runtag " + "x" * 100
    assert command in printed(replace(REPORT, problems=(command,)), width=60)


@given(st.integers(0, 10**15))
def test_sizes_are_short(size):
    assert len(format_size(size)) <= 9


def test_one_is_not_many():
    assert pluralize(1, "table") == "1 table"
    assert pluralize(2000, "table") == "2,000 tables"


def published(**counted):
    ledger = replace(MANIFEST.counts, streams={"stream/views": StreamCounts(**counted)})
    return replace(REPORT, manifest=msgspec.structs.replace(MANIFEST, counts=ledger))


def test_what_was_published_stands_in_a_table_of_its_own():
    report = published(rows=1234, published=1000, records=7, filtered=200, empty=4, outside=30)
    (line,) = [line for line in printed(report).splitlines() if "stream/views" in line]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == ["stream/views", "1,000", "7", "204", "30", "0"]
    assert report.complete
    assert "What was published" not in printed(REPORT)


def test_throttling_and_what_may_be_repeated_are_said_and_are_no_failure():
    report = published(throttled=12, repeated=2000)
    text = printed(report, width=300)
    assert "Stream stream/views: records were throttled 12 times" in text
    assert "up to 2,000 rows may have been published twice" in text
    assert report.complete


def test_rows_that_a_stream_did_not_take_are_a_failure():
    report = published(rows=9, dropped=9, throttled=20, internal_errors=1)
    text = printed(report, width=300)
    assert "Stream stream/views: 9 rows were not published" in text
    assert "(20 times throttled, 1 times failed, 0 times for other reasons)" in text
    assert "under a new run tag (consumers get repeats of all others)" in text
    assert "spade-spark replay a b login --skip-ace-upload --publish views" in text
    assert "NOT everything was done" in text
    assert not report.complete


def of_ledger(**counted_too):
    ledger = replace(MANIFEST.counts, **counted_too)
    return printed(
        replace(REPORT, manifest=msgspec.structs.replace(MANIFEST, counts=ledger)), width=100
    )


def test_lines_of_repeated_globs_are_told_with_the_globs():
    text = of_ledger(globs=20, repeated_globs=2, repeated=70)
    assert "lines repeated" in text
    assert "of 2 of 20 globs, which were sent twice" in text


def test_a_table_for_untracked_events_is_one_command_away():
    untracked = (UntrackedFile("s3://out/r/_untracked/a.gz", 3, 9),)
    text = printed(replace(REPORT, manifest=msgspec.structs.replace(MANIFEST, untracked=untracked)))
    assert "spade-spark suggest r proposes tables" in text
    assert "suggest" not in printed(REPORT)


def test_events_from_another_edge_are_told_and_the_run_is_complete_all_the_same():
    counts = {
        "login": EdgeTypeCounts("internal", 1234, 30, 4),
        "chat": EdgeTypeCounts("external", 10, 0, 0),
        "page": EdgeTypeCounts("", 50, 0, 50),
    }
    text = of_ledger(edge_types=counts)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    assert ["page", "-", "50", "0", "50"] in rows
    assert rows.index(["page", "-", "50", "0", "50"]) < rows.index(
        ["login", "internal", "1,234", "30", "4"]
    )
    assert not any(row[:1] == ["chat"] for row in rows)
    assert "Done." in text


def test_edges_are_not_spoken_of_where_all_is_as_expected():
    text = of_ledger(edge_types={"a": EdgeTypeCounts("internal", 5)})
    assert "from another edge" not in text


def test_of_many_events_from_another_edge_the_worst_are_told():
    strays = {f"event-{n}": EdgeTypeCounts("internal", 100, n) for n in range(1, 31)}
    text = of_ledger(edge_types=strays)
    assert "the 10 worst of 30" in text
    assert "event-30" in text
    assert "event-20 " not in text
