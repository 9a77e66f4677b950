"""What is said where objects are damaged."""

from dataclasses import replace

import msgspec

from spade_spark.reporting.corrupt_input import damage_problem, withheld_message
from spade_spark.request import Request
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.manifest import Completion, Damaged, RowFile
from spade_spark.runs.run_store import CompletedRun
from spade_spark.streams.counts import StreamCounts
from spade_spark.window import Window
from tests.reporting.test_replay import MANIFEST

REQUEST = Request(
    Window.parse("2017-11-03 10:00:00", "2017-11-03 11:59:59"), ("login",), False, "r"
)
TWO = (Damaged("a", "a is cut off"), Damaged("b", "b is empty"))


def test_rows_that_were_published_are_told_where_nothing_is_loaded():
    """Each partition had as few as was allowed, all of them together had more."""
    ledger = replace(MANIFEST.counts, streams={"stream/v": StreamCounts(rows=7, published=7)})
    sealed = CompletedRun(msgspec.structs.replace(MANIFEST, damaged=TWO, counts=ledger), (), "")
    said = damage_problem(sealed, replace(REQUEST, allow_damaged=1))
    assert said.startswith("2 objects damaged, and so nothing was loaded (7 rows went to streams)")
    assert damage_problem(sealed, replace(REQUEST, allow_damaged=2)) == ""


def test_rows_that_wait_are_told_with_the_objects_and_the_way_on():
    files = (RowFile("login", 1, "k", 5, 9, ""), RowFile("chat", 1, "k", 3, 9, ""))
    held = Completion("plan", 0, "0", AuditCounts(), files, damaged=TWO)
    other = Completion("plan", 1, "1", AuditCounts(), damaged=TWO[:1])
    said = withheld_message([held], [held, other], {"login"}, REQUEST)
    assert said.startswith("3 objects damaged:\n  a is cut off\n  b is empty\n5 rows of their")
    assert "were not published, and nothing was loaded" in said
    assert said.endswith(
        "or publish and load what was made by the same command with --runtag r --allow-damaged 3"
    )
