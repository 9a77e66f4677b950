"""The input, output and completion record of a task."""

import gzip
import io
import json
import subprocess
import sys
from dataclasses import replace

import msgspec
import pyarrow.parquet
import pytest

from spade_spark.errors import InternalError, ObjectChangedError, ObjectNotFoundError
from spade_spark.plan import InputObject, InputPartition
from spade_spark.runs.manifest import Completion
from spade_spark.settings import S3Settings, Settings
from spade_spark.spark.broadcast_context import BroadcastContext
from spade_spark.spark.task import _TaskAttempt, run_partition
from spade_spark.storage.base import open_store
from spade_spark.storage.json_codec import decode
from spade_spark.transform import reference
from spade_spark.transform.edge_type_audit import EdgeTypeCounts
from spade_spark.transform.outcomes import Outcome
from tests.support import edge_logs
from tests.support.globs import FORMS, glob

GOOD = [
    edge_logs.record("login", {"login": "zoë", "n": 5}),
    edge_logs.record("chat", {"text": "hi"}),
    edge_logs.record("login", {"login": "bob"}),
    edge_logs.record("unknown", {"a": 1}),
    edge_logs.envelope("no json"),
    edge_logs.envelope('{"properties": {}}'),
    b"no record",
]


class TaskHarness:
    """An edge store and an output store in directories, and a context that uses them."""

    def __init__(self, folder):
        self.edge = open_store(str(folder / "edge"), S3Settings())
        self.output = open_store(str(folder / "output"), S3Settings())
        settings = Settings.model_validate(
            {"input": {"edge": self.edge.url}, "output": {"base": self.output.url}}
        )
        schemas = edge_logs.schemas(edge_logs.LOGIN, edge_logs.CHAT)
        self.context = BroadcastContext("r", "plan-hash", "20171103", settings, schemas, None)

    def partition(self, *objects):
        for number, data in enumerate(objects):
            self.edge.write(f"20171103/{number}.gz", data)
        stored = self.edge.list("20171103/")
        return InputPartition(7, tuple(InputObject(s.key, s.size, s.etag) for s in stored))

    def rows(self, completion, table):
        data = [self.output.read(file.key) for file in completion.files if file.table == table]
        return gzip.decompress(b"".join(data)).decode().splitlines()


@pytest.fixture
def harness(tmp_path):
    return TaskHarness(tmp_path)


def test_every_event_is_counted_and_rows_are_written(harness):
    completion = run_partition(harness.context, harness.partition(edge_logs.log(GOOD)), 0)
    assert harness.rows(completion, "login") == [
        '"2017-11-03 11:00:00"\t"zoë"\t"5"',
        '"2017-11-03 11:00:00"\t"bob"\t""',
    ]
    assert harness.rows(completion, "chat") == ['"2017-11-03 11:00:00"\t"hi"']
    assert completion.counts.events == {
        "login": {Outcome.SUCCESS: 1, Outcome.SKIPPED_COLUMNS: 1},
        "chat": {Outcome.SUCCESS: 1},
        "": {Outcome.UNTRACKED: 1, Outcome.MALFORMED: 1, Outcome.EMPTY_REQUEST: 1},
    }
    counts = completion.counts
    assert (counts.lines, counts.undecodable, counts.records, counts.objects) == (7, 1, 6, 1)


def test_the_completion_record_is_what_the_task_returns(harness):
    completion = run_partition(harness.context, harness.partition(edge_logs.log(GOOD)), 0)
    record = harness.output.read("r/_completed/00007.json")
    assert decode(record, Completion, "record", "completion record") == completion


def test_a_second_attempt_returns_the_record_of_the_first(harness):
    partition = harness.partition(edge_logs.log(GOOD))
    assert run_partition(harness.context, partition, 1) == run_partition(
        harness.context, partition, 2
    )


def test_attempts_write_to_different_keys(harness):
    partition = harness.partition(edge_logs.log(GOOD))
    first = run_partition(harness.context, partition, 1)
    harness.output.delete("r/_completed/00007.json")
    second = run_partition(harness.context, partition, 1)
    names = [{file.key for file in completion.files} for completion in (first, second)]
    assert not names[0] & names[1]


def test_untracked_events_are_stored_under_the_run_tag(harness):
    completion = run_partition(harness.context, harness.partition(edge_logs.log(GOOD)), 0)
    (file,) = completion.untracked
    assert file.url.startswith(f"{harness.output.url}r/_untracked/")
    assert gzip.decompress(harness.output.read(file.url.removeprefix(harness.output.url))) == (
        b'{"event":"unknown","properties":{"a":1}}\n'
    )


def test_untracked_events_are_stored_in_the_separate_bucket_if_set(harness, tmp_path):
    output = harness.context.settings.output.model_copy(update={"untracked": str(tmp_path / "u")})
    settings = harness.context.settings.model_copy(update={"output": output})
    context = replace(harness.context, settings=settings)
    completion = run_partition(context, harness.partition(edge_logs.log(GOOD)), 0)
    assert completion.untracked[0].url.startswith(f"{tmp_path}/u/20171103/r/")


def test_only_requested_tables_are_written(harness):
    context = replace(harness.context, requested=frozenset({"login"}))
    completion = run_partition(context, harness.partition(edge_logs.log(GOOD)), 0)
    assert {file.table for file in completion.files} == {"login"}
    assert completion.counts.rows("login") == 2
    counts = completion.counts
    assert counts.filtered > 0
    assert counts.lines == counts.filtered + counts.undecodable + counts.records


def test_a_table_that_falls_back_to_the_reference_path_is_in_the_completion_record(harness):
    columns = (edge_logs.column("n", "bool", "a"), edge_logs.column("n", "int", "b"))
    harness.context = replace(
        harness.context,
        schemas=edge_logs.schemas(edge_logs.table("login", *columns), edge_logs.CHAT),
    )
    completion = run_partition(harness.context, harness.partition(edge_logs.log(GOOD)), 0)
    assert completion.fallbacks == {
        "login": "columns need the property 'n' as different types: 'a' ('bool'), 'b' ('int')"
    }
    stored = harness.output.read("r/_completed/00007.json")
    assert (
        decode(stored, Completion, "record", "completion record").fallbacks == completion.fallbacks
    )


def test_building_the_completion_record_changes_no_counts(harness, tmp_path):
    context = replace(harness.context, requested=frozenset({"login"}))
    partition = harness.partition(edge_logs.log(GOOD))
    attempt = _TaskAttempt(context, partition, "attempt", harness.output, tmp_path)
    completion = attempt.run()
    assert completion.counts.filtered
    assert attempt._build_completion() == completion


def test_files_are_closed_at_their_maximum_size(harness):
    output = harness.context.settings.output.model_copy(update={"max_file_bytes": 1000})
    settings = harness.context.settings.model_copy(update={"output": output})
    lines = [edge_logs.record("login", {"login": f"{n * 7919:x}", "n": n}) for n in range(20_000)]
    context = replace(harness.context, settings=settings)
    completion = run_partition(context, harness.partition(edge_logs.log(lines)), 0)
    assert len(completion.files) > 2
    assert len(harness.rows(completion, "login")) == 20_000


def as_parquet(harness, formats):
    output = harness.context.settings.output.model_copy(update={"format": formats})
    return replace(
        harness.context, settings=harness.context.settings.model_copy(update={"output": output})
    )


@pytest.mark.parametrize("formats", ["tsv,parquet", "parquet"])
def test_rows_are_written_as_parquet_if_requested(harness, formats):
    partition = harness.partition(edge_logs.log(GOOD))
    completion = run_partition(as_parquet(harness, formats), partition, 0)
    assert bool(completion.files) == ("tsv" in formats)
    logins, chats = completion.parquet
    assert logins.key.startswith("r/login/date=2017-11-03/00007-0-")
    rows = pyarrow.parquet.read_table(io.BytesIO(harness.output.read(logins.key)))
    assert [tuple(row.values())[1:] for row in rows.to_pylist()] == [("zoë", 5), ("bob", None)]
    assert (logins.rows, logins.version, chats.rows) == (2, 3, 1)
    assert completion.counts.parquet == {"login": 2, "chat": 1}
    assert not [entry for entry in harness.output.list("r/login/v") if formats == "parquet"]


def test_a_task_that_writes_only_tsv_does_not_import_pyarrow(harness):
    program = "import sys; from spade_spark.spark import task; print('pyarrow' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert process.stdout == b"False\n"


CORRUPT = {
    "empty": (b"", 0),
    "not gzip": (b"plain text, no gzip at all", 0),
    "truncated": (
        edge_logs.log([*GOOD[:3], *[edge_logs.envelope(f"{n}") for n in range(2000)]])[:-5000],
        3,
    ),
}


@pytest.mark.parametrize("case", CORRUPT)
def test_a_corrupt_object_is_reported_and_its_complete_lines_are_used(harness, case):
    data, min_rows = CORRUPT[case]
    completion = run_partition(harness.context, harness.partition(data, edge_logs.log(GOOD[:1])), 0)
    (corrupt,) = completion.damaged
    assert corrupt.key == "20171103/0.gz"
    assert "20171103/0.gz" in corrupt.reason
    assert completion.counts.objects == 2
    assert completion.counts.row_count >= 1 + min_rows


def test_a_line_of_50_megabytes_is_transformed(harness):
    huge = edge_logs.record("login", {"login": "x", "blob": "y" * 50_000_000})
    completion = run_partition(
        harness.context, harness.partition(edge_logs.log([huge, *GOOD[:1]])), 0
    )
    assert completion.counts.rows("login") == 2


def test_an_object_that_changed_since_the_plan_is_an_error(harness):
    partition = harness.partition(edge_logs.log(GOOD))
    harness.edge.write("20171103/0.gz", edge_logs.log(GOOD[:1]))
    with pytest.raises(ObjectChangedError, match=r"20171103/0.gz has changed since the plan was"):
        run_partition(harness.context, partition, 0)


def test_a_deleted_object_is_an_error(harness):
    partition = harness.partition(edge_logs.log(GOOD))
    harness.edge.delete("20171103/0.gz")
    with pytest.raises(ObjectNotFoundError, match=r"20171103/0.gz does not exist"):
        run_partition(harness.context, partition, 0)


def test_the_spool_directory_is_removed(harness, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spool"))
    (tmp_path / "spool").mkdir()
    run_partition(harness.context, harness.partition(edge_logs.log(GOOD)), 0)
    assert list((tmp_path / "spool").iterdir()) == []


def quarantined(harness, completion):
    lines = [gzip.decompress(harness.output.read(file.key)) for file in completion.quarantine]
    return [json.loads(line) for line in b"".join(lines).splitlines()]


def test_a_malformed_record_is_quarantined_with_its_object_line_and_reason(harness):
    completion = run_partition(harness.context, harness.partition(edge_logs.log(GOOD)), 0)
    (record,) = quarantined(harness, completion)
    assert (record["reason"], record["object"], record["line"]) == ("malformed", "20171103/0.gz", 5)
    assert record["raw"].encode() == GOOD[4]
    assert record["error"]


def test_line_numbers_count_the_prefiltered_lines(harness):
    lines = [*[GOOD[1]] * 5000, edge_logs.envelope('{"event": "login"'), *[GOOD[1]] * 10]
    context = replace(harness.context, requested=frozenset({"login"}))
    (record,) = quarantined(
        harness, run_partition(context, harness.partition(edge_logs.log(lines)), 0)
    )
    assert record["line"] == 5001


def test_only_the_quarantined_event_of_a_record_is_retried(harness, monkeypatch):
    """One of three events fails; the other two have been written."""
    events = [{"event": "login", "properties": {"login": login, "n": 1}} for login in "abc"]
    # The member Event sends the record to the reference path, which fails here.
    line = edge_logs.envelope(
        json.dumps([*events[:1], {**events[1], "Event": "login"}, *events[2:]])
    )
    convert = reference._row

    def broken(name, table, values, uuid):
        if values.get("login") == "b":
            raise RuntimeError("a bug")
        return convert(name, table, values, uuid)

    with monkeypatch.context() as patch:
        patch.setattr(reference, "_row", broken)
        first = run_partition(harness.context, harness.partition(edge_logs.log([line])), 0)
    assert first.counts.events["login"] == {Outcome.SUCCESS: 2, Outcome.FAILED: 1}
    assert first.failures == (("u-1-1", "RuntimeError: a bug"),)

    retry = replace(harness.context, run_tag="r.quarantine", plan="another", from_quarantine=True)
    sources = [InputObject(f.key, f.size, "") for f in first.quarantine]
    second = run_partition(retry, InputPartition(0, tuple(sources)), 0)
    assert harness.rows(second, "login") == ['"2017-11-03 11:00:00"\t"b"\t"1"']
    assert second.counts.events == {"login": {Outcome.SUCCESS: 1}}


def test_a_record_that_fails_again_keeps_its_origin_in_the_new_quarantine(harness):
    first = run_partition(harness.context, harness.partition(edge_logs.log(GOOD)), 0)
    retry = replace(harness.context, run_tag="r.quarantine", plan="another", from_quarantine=True)
    sources = [InputObject(f.key, f.size, "") for f in first.quarantine]
    second = run_partition(retry, InputPartition(0, tuple(sources)), 0)
    assert quarantined(harness, second) == quarantined(harness, first)


def test_the_completion_record_is_readable_json(harness):
    run_partition(harness.context, harness.partition(edge_logs.log(GOOD)), 0)
    record = json.loads(harness.output.read("r/_completed/00007.json"))
    assert record["ledger"]["events"]["login"] == {"success": 1, "skipped_columns": 1}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_globs_produce_the_same_rows_and_counts_as_edge_logs(harness, form):
    logs = run_partition(harness.context, harness.partition(edge_logs.log(GOOD)), 0)
    rows = {table: harness.rows(logs, table) for table in ("login", "chat")}
    as_globs = harness.context.settings.input.model_copy(update={"form": "globs"})
    settings = harness.context.settings.model_copy(update={"input": as_globs})
    context = replace(harness.context, run_tag="globs", settings=settings)
    parts = [
        [edge_logs.record("x", {}, uuid="first"), *GOOD[:4]],
        [edge_logs.record("x", {}, uuid="second"), *GOOD[4:]],
    ]
    archive = form([glob(part) for part in parts])
    globs = run_partition(context, harness.partition(archive, archive), 0)
    assert {table: harness.rows(globs, table) for table in rows} == rows
    counts = globs.counts
    assert counts.events["login"] == logs.counts.events["login"]
    assert (counts.globs, counts.repeated_globs, counts.repeated) == (4, 2, 9)
    assert counts.lines == 2 * (len(GOOD) + 2)
    assert counts.lines == counts.undecodable + counts.records + counts.repeated
    assert [record["raw"] for record in quarantined(harness, globs)] == [GOOD[4].decode()]


def test_counting_edge_types_does_not_change_the_rows(harness):
    lines = [*GOOD, edge_logs.record("login", {"login": "eve", "n": 6}, edgeType="external")]
    partition = harness.partition(edge_logs.log(lines))
    without = run_partition(harness.context, partition, 0)
    context = replace(
        harness.context, run_tag="typed", edge_types={"login": "internal", "unknown": "x"}
    )
    with_types = run_partition(context, partition, 0)
    assert with_types.counts.edge_types == {
        "login": EdgeTypeCounts("internal", 3, 1, 0),
        "chat": EdgeTypeCounts("", 1, 0, 0),
    }
    assert without.counts == replace(with_types.counts, edge_types={})
    assert harness.rows(with_types, "login") == harness.rows(without, "login")


def test_edge_types_are_counted_only_for_requested_tables(harness):
    context = replace(
        harness.context, requested=frozenset({"chat"}), edge_types={"login": "internal"}
    )
    counts = run_partition(context, harness.partition(edge_logs.log(GOOD)), 0).counts
    assert counts.edge_types == {"chat": EdgeTypeCounts("", 1, 0, 0)}


def test_a_quarantine_is_read_as_lines_even_if_the_input_is_globs(harness):
    first = run_partition(harness.context, harness.partition(edge_logs.log(GOOD)), 0)
    as_globs = harness.context.settings.input.model_copy(update={"form": "globs"})
    settings = harness.context.settings.model_copy(update={"input": as_globs})
    retry = replace(
        harness.context, run_tag="r.quarantine", from_quarantine=True, settings=settings
    )
    sources = [InputObject(f.key, f.size, "") for f in first.quarantine]
    second = run_partition(retry, InputPartition(0, tuple(sources)), 0)
    assert quarantined(harness, second) == quarantined(harness, first)


def test_the_balance_of_the_counts_includes_records_of_repeated_globs(harness):
    completion = run_partition(harness.context, harness.partition(edge_logs.log(GOOD)), 0)
    lost = msgspec.structs.replace(completion, counts=replace(completion.counts, repeated=1))
    with pytest.raises(
        InternalError, match=r"7 lines read, but 1 undecodable .* 1 of repeated globs"
    ):
        lost.check()
