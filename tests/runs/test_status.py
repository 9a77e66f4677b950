"""The state of runs with Parquet files, and what it suggests to do next."""

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


def discovered(tag="r", plan=None, manifest=None):
    return DiscoveredRun(
        tag, f"s3://out/{tag}/", (), (), plan, manifest, (), LeaseTable((), NOW), ()
    )


def complete(formats, tag="r"):
    table = ManifestTable("login", 3, ("time",), ())
    manifest = Manifest(tag, "p", WINDOW.arguments, NOW, (table,), AuditCounts(), format=formats)
    return discovered(tag, manifest=manifest)


def later_load():
    at = NOW + timedelta(hours=1)
    ends = WINDOW.wall_start, WINDOW.wall_end
    return TableLoad(
        "new", "login", "w:5439/x", at, *ends, 5, 5, 4, recorded=True, in_replay_log=True
    )


@pytest.mark.parametrize(("formats", "superseded"), [("tsv", True), ("parquet", False)])
def test_a_load_does_not_supersede_a_run_for_a_lake(formats, superseded):
    run = replace(complete(formats), objects=(StoredObject("r/_manifest.json", 9, "e", NOW),))
    assert bool(state_of(run, [later_load()]).removable) is superseded


@pytest.mark.parametrize(
    ("formats", "options"),
    [
        ("tsv", ""),
        ("tsv,parquet", "--format tsv,parquet "),
        ("parquet", "--format parquet --skip-ace-upload "),
    ],
)
def test_the_command_that_resumes_a_run_names_its_formats(formats, options):
    plan = replace(PLAN, window=WINDOW.arguments, settings={"output.format": formats})
    hint = state_of(discovered(plan=plan), []).next
    start, end = WINDOW.arguments
    assert hint == (
        f"resume it: spade-spark replay '{start}' '{end}' login quiet {options}--runtag r"
    )


def test_a_quarantine_run_is_not_offered_to_a_lake():
    hint = state_of(complete("parquet", "r.quarantine"), []).next
    assert "replay the window again, then publish the new run" in hint
    assert state_of(complete("parquet"), []).next.endswith("export publish r --to URL")
