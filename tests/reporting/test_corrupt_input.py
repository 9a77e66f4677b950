"""The messages about corrupt input objects."""

from dataclasses import replace

import msgspec

from spade_spark.reporting.corrupt_input import corrupt_input_problem, withheld_message
from spade_spark.request import Request
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.manifest import Completion, CorruptObject, RowFile
from spade_spark.runs.run_store import CompletedRun
from spade_spark.streams.counts import StreamCounts
from spade_spark.window import Window
from tests.reporting.test_replay import MANIFEST

REQUEST = Request(
    Window.parse("2017-11-03 10:00:00", "2017-11-03 11:59:59"), ("login",), False, "r"
)
DAMAGED = (CorruptObject("a", "a is cut off"), CorruptObject("b", "b is empty"))


def test_the_problem_reports_rows_that_were_already_published():
    """The run exceeds the limit, although no single partition does."""
    counts = replace(MANIFEST.counts, streams={"stream/v": StreamCounts(rows=7, published=7)})
    completed = CompletedRun(
        msgspec.structs.replace(MANIFEST, damaged=DAMAGED, counts=counts), (), ""
    )
    message = corrupt_input_problem(completed, replace(REQUEST, allow_damaged=1))
    assert message.startswith(
        "2 corrupt objects, nothing was loaded (7 rows already published to streams)"
    )
    assert corrupt_input_problem(completed, replace(REQUEST, allow_damaged=2)) == ""


def test_withheld_rows_are_reported_with_the_objects_and_the_next_step():
    files = (RowFile("login", 1, "k", 5, 9, ""), RowFile("chat", 1, "k", 3, 9, ""))
    withheld = Completion("plan", 0, "0", AuditCounts(), files, damaged=DAMAGED)
    other = Completion("plan", 1, "1", AuditCounts(), damaged=DAMAGED[:1])
    message = withheld_message([withheld], [withheld, other], {"login"}, REQUEST)
    assert message.startswith(
        "3 corrupt objects:\n  a is cut off\n  b is empty\nNot published: 5 rows"
    )
    assert "partitions. Nothing was loaded." in message
    assert message.endswith(
        "publish and load this run's output: repeat the command with --runtag r --allow-damaged 3"
    )
