"""What people are told of runs with Parquet files."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from spade_spark.locking.lease import LeaseTable
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.discovery import DiscoveredRun
from spade_spark.runs.manifest import Manifest, ManifestTable
from spade_spark.runs.status import TableLoad, state_of
from spade_spark.storage.base import StoredObject
from spade_spark.window import Window
from tests.runs.test_run_store import PLAN

NOW = datetime(2017, 11, 4, 12, tzinfo=timezone.utc)
WINDOW = Window.parse("2017-11-03 10:00:00", "2017-11-03 11:59:59")


def found(tag="r", plan=None, manifest=None):
    return DiscoveredRun(
        tag, f"s3://out/{tag}/", (), (), plan, manifest, (), LeaseTable((), NOW), ()
    )


def complete(formats, tag="r"):
    table = ManifestTable("login", 3, ("time",), ())
    manifest = Manifest(tag, "p", WINDOW.arguments, NOW, (table,), AuditCounts(), format=formats)
    return found(tag, manifest=manifest)


def later_load():
    at = NOW + timedelta(hours=1)
    ends = WINDOW.wall_start, WINDOW.wall_end
    return TableLoad(
        "new", "login", "w:5439/x", at, *ends, 5, 5, 4, recorded=True, in_replay_log=True
    )


@pytest.mark.parametrize(("formats", "superseded"), [("tsv", True), ("parquet", False)])
def test_a_load_does_not_take_the_place_of_what_is_for_a_lake(formats, superseded):
    run = replace(complete(formats), objects=(StoredObject("r/_manifest.json", 9, "e", NOW),))
    assert bool(state_of(run, [later_load()]).removable) is superseded


@pytest.mark.parametrize(
    ("formats", "words"),
    [
        ("tsv", ""),
        ("tsv,parquet", "--format tsv,parquet "),
        ("parquet", "--format parquet --skip-ace-upload "),
    ],
)
def test_a_run_is_gone_on_with_in_the_formats_that_it_was_begun_with(formats, words):
    plan = replace(PLAN, window=WINDOW.arguments, settings={"output.format": formats})
    said = state_of(found(plan=plan), []).next
    start, end = WINDOW.arguments
    assert said == (
        f"go on with it: spade-spark replay '{start}' '{end}' login quiet {words}--runtag r"
    )


def test_what_was_left_out_of_a_run_is_not_offered_to_a_lake():
    said = state_of(complete("parquet", "r.quarantine"), []).next
    assert "replay the window again and publish that run" in said
    assert state_of(complete("parquet"), []).next.endswith("export publish r --to URL")
