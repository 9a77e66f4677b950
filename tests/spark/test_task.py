"""One partition: what a task reads, writes and returns."""

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
from spade_spark.storage.records import decode
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


class ReplayHarness:
    """An edge store and an output store in directories, and a job over them."""

    def __init__(self, folder):
        self.edge = open_store(str(folder / "edge"), S3Settings())
        self.output = open_store(str(folder / "output"), S3Settings())
        settings = Settings.model_validate(
            {"input": {"edge": self.edge.url}, "output": {"base": self.output.url}}
        )
        schemas = edge_logs.schemas(edge_logs.LOGIN, edge_logs.CHAT)
        self.job = BroadcastContext("r", "plan-hash", "20171103", settings, schemas, None)

    def partition(self, *objects):
        for number, data in enumerate(objects):
            self.edge.write(f"20171103/{number}.gz", data)
        found = [
            InputObject(each.key, each.size, each.etag) for each in self.edge.list("20171103/")
        ]
        return InputPartition(7, tuple(found))

    def rows(self, completion, table):
        data = [self.output.read(file.key) for file in completion.files if file.table == table]
        return gzip.decompress(b"".join(data)).decode().splitlines()


@pytest.fixture
def world(tmp_path):
    return ReplayHarness(tmp_path)


def test_every_event_ends_in_one_file_or_one_count(world):
    completion = run_partition(world.job, world.partition(edge_logs.log(GOOD)), 0)
    assert world.rows(completion, "login") == [
        '"2017-11-03 11:00:00"\t"zoë"\t"5"',
        '"2017-11-03 11:00:00"\t"bob"\t""',
    ]
    assert world.rows(completion, "chat") == ['"2017-11-03 11:00:00"\t"hi"']
    assert completion.counts.events == {
        "login": {Outcome.SUCCESS: 1, Outcome.SKIPPED_COLUMNS: 1},
        "chat": {Outcome.SUCCESS: 1},
        "": {Outcome.UNTRACKED: 1, Outcome.MALFORMED: 1, Outcome.EMPTY_REQUEST: 1},
    }
    counts = completion.counts
    assert (counts.lines, counts.undecodable, counts.records, counts.objects) == (7, 1, 6, 1)


def test_the_completion_record_is_what_the_task_returns(world):
    completion = run_partition(world.job, world.partition(edge_logs.log(GOOD)), 0)
    kept = world.output.read("r/_completed/00007.json")
    assert decode(kept, Completion, "record", "completion record") == completion


def test_a_second_attempt_returns_what_the_first_one_sealed(world):
    """However attempts overlap, one of them counts, and whoever asks is told the same."""
    partition = world.partition(edge_logs.log(GOOD))
    assert run_partition(world.job, partition, 1) == run_partition(world.job, partition, 2)


def test_attempts_never_write_to_the_same_name(world):
    partition = world.partition(edge_logs.log(GOOD))
    first = run_partition(world.job, partition, 1)
    world.output.delete("r/_completed/00007.json")
    second = run_partition(world.job, partition, 1)
    names = [{file.key for file in completion.files} for completion in (first, second)]
    assert not names[0] & names[1]


def test_untracked_events_lie_under_the_run_tag(world):
    completion = run_partition(world.job, world.partition(edge_logs.log(GOOD)), 0)
    (file,) = completion.untracked
    assert file.url.startswith(f"{world.output.url}r/_untracked/")
    assert gzip.decompress(world.output.read(file.url.removeprefix(world.output.url))) == (
        b'{"event":"unknown","properties":{"a":1}}\n'
    )


def test_untracked_events_lie_in_their_own_bucket_where_there_is_one(world, tmp_path):
    output = world.job.settings.output.model_copy(update={"untracked": str(tmp_path / "u")})
    settings = world.job.settings.model_copy(update={"output": output})
    job = replace(world.job, settings=settings)
    completion = run_partition(job, world.partition(edge_logs.log(GOOD)), 0)
    assert completion.untracked[0].url.startswith(f"{tmp_path}/u/20171103/r/")


def test_only_the_tables_asked_for_are_made(world):
    job = replace(world.job, requested=frozenset({"login"}))
    completion = run_partition(job, world.partition(edge_logs.log(GOOD)), 0)
    assert {file.table for file in completion.files} == {"login"}
    assert completion.counts.rows("login") == 2
    counts = completion.counts
    assert counts.filtered > 0
    assert counts.lines == counts.filtered + counts.undecodable + counts.records


def test_a_table_that_falls_back_to_the_reference_path_is_in_the_completion_record(world):
    columns = (edge_logs.column("n", "bool", "a"), edge_logs.column("n", "int", "b"))
    world.job = replace(
        world.job, schemas=edge_logs.schemas(edge_logs.table("login", *columns), edge_logs.CHAT)
    )
    completion = run_partition(world.job, world.partition(edge_logs.log(GOOD)), 0)
    assert completion.fallbacks == {
        "login": "columns need the property 'n' as different types: 'a' ('bool'), 'b' ('int')"
    }
    stored = world.output.read("r/_completed/00007.json")
    assert (
        decode(stored, Completion, "record", "completion record").fallbacks == completion.fallbacks
    )


def test_building_the_completion_record_changes_no_counts(world, tmp_path):
    job = replace(world.job, requested=frozenset({"login"}))
    partition = world.partition(edge_logs.log(GOOD))
    attempt = _TaskAttempt(job, partition, "attempt", world.output, tmp_path)
    completion = attempt.run()
    assert completion.counts.filtered
    assert attempt._completion() == completion


def test_files_are_closed_at_their_size(world):
    output = world.job.settings.output.model_copy(update={"max_file_bytes": 1000})
    settings = world.job.settings.model_copy(update={"output": output})
    lines = [edge_logs.record("login", {"login": f"{n * 7919:x}", "n": n}) for n in range(20_000)]
    job = replace(world.job, settings=settings)
    completion = run_partition(job, world.partition(edge_logs.log(lines)), 0)
    assert len(completion.files) > 2
    assert len(world.rows(completion, "login")) == 20_000


def as_parquet(world, formats):
    output = world.job.settings.output.model_copy(update={"format": formats})
    return replace(world.job, settings=world.job.settings.model_copy(update={"output": output}))


@pytest.mark.parametrize("formats", ["tsv,parquet", "parquet"])
def test_rows_lie_in_parquet_where_that_is_asked(world, formats):
    partition = world.partition(edge_logs.log(GOOD))
    completion = run_partition(as_parquet(world, formats), partition, 0)
    assert bool(completion.files) == ("tsv" in formats)
    logins, chats = completion.parquet
    assert logins.key.startswith("r/login/date=2017-11-03/00007-0-")
    read = pyarrow.parquet.read_table(io.BytesIO(world.output.read(logins.key)))
    assert [tuple(row.values())[1:] for row in read.to_pylist()] == [("zoë", 5), ("bob", None)]
    assert (logins.rows, logins.version, chats.rows) == (2, 3, 1)
    assert completion.counts.parquet == {"login": 2, "chat": 1}
    assert not [entry for entry in world.output.list("r/login/v") if formats == "parquet"]


def test_tsv_alone_does_without_pyarrow(world):
    program = "import sys; from spade_spark.spark import task; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"


DAMAGED = {
    "empty": (b"", 0),
    "no gzip": (b"plain text, no gzip at all", 0),
    "cut off": (
        edge_logs.log([*GOOD[:3], *[edge_logs.envelope(f"{n}") for n in range(2000)]])[:-5000],
        3,
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_object_is_reported_and_its_whole_lines_count(world, damage):
    data, least = DAMAGED[damage]
    completion = run_partition(world.job, world.partition(data, edge_logs.log(GOOD[:1])), 0)
    (damaged,) = completion.damaged
    assert damaged.key == "20171103/0.gz"
    assert "20171103/0.gz" in damaged.reason
    assert completion.counts.objects == 2
    assert completion.counts.row_count >= 1 + least


def test_a_line_of_50_megabytes_is_one_line(world):
    huge = edge_logs.record("login", {"login": "x", "blob": "y" * 50_000_000})
    completion = run_partition(world.job, world.partition(edge_logs.log([huge, *GOOD[:1]])), 0)
    assert completion.counts.rows("login") == 2


def test_an_object_that_changed_after_the_plan_ends_the_run(world):
    partition = world.partition(edge_logs.log(GOOD))
    world.edge.write("20171103/0.gz", edge_logs.log(GOOD[:1]))
    with pytest.raises(ObjectChangedError, match=r"20171103/0.gz has changed since it was planned"):
        run_partition(world.job, partition, 0)


def test_an_object_that_is_gone_ends_the_run(world):
    partition = world.partition(edge_logs.log(GOOD))
    world.edge.delete("20171103/0.gz")
    with pytest.raises(ObjectNotFoundError, match=r"20171103/0.gz does not exist"):
        run_partition(world.job, partition, 0)


def test_no_spool_is_left_behind(world, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spool"))
    (tmp_path / "spool").mkdir()
    run_partition(world.job, world.partition(edge_logs.log(GOOD)), 0)
    assert list((tmp_path / "spool").iterdir()) == []


def kept(world, completion):
    lines = [gzip.decompress(world.output.read(file.key)) for file in completion.quarantine]
    return [json.loads(line) for line in b"".join(lines).splitlines()]


def test_a_malformed_record_is_kept_with_its_object_line_and_reason(world):
    completion = run_partition(world.job, world.partition(edge_logs.log(GOOD)), 0)
    (record,) = kept(world, completion)
    assert (record["reason"], record["object"], record["line"]) == ("malformed", "20171103/0.gz", 5)
    assert record["raw"].encode() == GOOD[4]
    assert record["error"]


def test_lines_are_numbered_as_in_the_object_though_others_were_passed_over(world):
    lines = [*[GOOD[1]] * 5000, edge_logs.envelope('{"event": "login"'), *[GOOD[1]] * 10]
    job = replace(world.job, requested=frozenset({"login"}))
    (record,) = kept(world, run_partition(job, world.partition(edge_logs.log(lines)), 0))
    assert record["line"] == 5001


def test_what_was_kept_is_tried_again_and_only_that(world, monkeypatch):
    """The bug is in one event of a list of three: the other two have their rows already."""
    events = [{"event": "login", "properties": {"login": login, "n": 1}} for login in "abc"]
    # A server value that no converter expects stands for a bug: it fails the exact path.
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
        first = run_partition(world.job, world.partition(edge_logs.log([line])), 0)
    assert first.counts.events["login"] == {Outcome.SUCCESS: 2, Outcome.FAILED: 1}
    assert first.failures == (("u-1-1", "RuntimeError: a bug"),)

    again = replace(world.job, run_tag="r.quarantine", plan="another", from_quarantine=True)
    sources = [InputObject(f.key, f.size, "") for f in first.quarantine]
    second = run_partition(again, InputPartition(0, tuple(sources)), 0)
    assert world.rows(second, "login") == ['"2017-11-03 11:00:00"\t"b"\t"1"']
    assert second.counts.events == {"login": {Outcome.SUCCESS: 1}}


def test_what_fails_again_is_kept_again_as_from_where_it_came_first(world):
    first = run_partition(world.job, world.partition(edge_logs.log(GOOD)), 0)
    again = replace(world.job, run_tag="r.quarantine", plan="another", from_quarantine=True)
    sources = [InputObject(f.key, f.size, "") for f in first.quarantine]
    second = run_partition(again, InputPartition(0, tuple(sources)), 0)
    assert kept(world, second) == kept(world, first)


def test_a_completion_is_json_that_people_can_read(world):
    run_partition(world.job, world.partition(edge_logs.log(GOOD)), 0)
    kept = json.loads(world.output.read("r/_completed/00007.json"))
    assert kept["ledger"]["events"]["login"] == {"success": 1, "skipped_columns": 1}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_globs_give_the_rows_and_counts_of_a_deglobbed_log(world, form):
    logs = run_partition(world.job, world.partition(edge_logs.log(GOOD)), 0)
    rows = {table: world.rows(logs, table) for table in ("login", "chat")}
    read = world.job.settings.input.model_copy(update={"form": "globs"})
    settings = world.job.settings.model_copy(update={"input": read})
    job = replace(world.job, run_tag="globs", settings=settings)
    parts = [
        [edge_logs.record("x", {}, uuid="first"), *GOOD[:4]],
        [edge_logs.record("x", {}, uuid="second"), *GOOD[4:]],
    ]
    archive = form([glob(part) for part in parts])
    globs = run_partition(job, world.partition(archive, archive), 0)
    assert {table: world.rows(globs, table) for table in rows} == rows
    counts = globs.counts
    assert counts.events["login"] == logs.counts.events["login"]
    assert (counts.globs, counts.repeated_globs, counts.repeated) == (4, 2, 9)
    assert counts.lines == 2 * (len(GOOD) + 2)
    assert counts.lines == counts.undecodable + counts.records + counts.repeated
    assert [record["raw"] for record in kept(world, globs)] == [GOOD[4].decode()]


def test_edge_types_are_counted_where_they_are_asked_for_and_rows_are_as_without(world):
    lines = [*GOOD, edge_logs.record("login", {"login": "eve", "n": 6}, edgeType="external")]
    partition = world.partition(edge_logs.log(lines))
    without = run_partition(world.job, partition, 0)
    job = replace(world.job, run_tag="typed", edge_types={"login": "internal", "unknown": "x"})
    with_types = run_partition(job, partition, 0)
    assert with_types.counts.edge_types == {
        "login": EdgeTypeCounts("internal", 3, 1, 0),
        "chat": EdgeTypeCounts("", 1, 0, 0),
    }
    assert without.counts == replace(with_types.counts, edge_types={})
    assert world.rows(with_types, "login") == world.rows(without, "login")


def test_edge_types_are_counted_of_the_tables_asked_for_alone(world):
    job = replace(world.job, requested=frozenset({"chat"}), edge_types={"login": "internal"})
    counts = run_partition(job, world.partition(edge_logs.log(GOOD)), 0).counts
    assert counts.edge_types == {"chat": EdgeTypeCounts("", 1, 0, 0)}


def test_a_quarantine_is_of_lines_whatever_the_input_was(world):
    first = run_partition(world.job, world.partition(edge_logs.log(GOOD)), 0)
    read = world.job.settings.input.model_copy(update={"form": "globs"})
    settings = world.job.settings.model_copy(update={"input": read})
    again = replace(world.job, run_tag="r.quarantine", from_quarantine=True, settings=settings)
    sources = [InputObject(f.key, f.size, "") for f in first.quarantine]
    second = run_partition(again, InputPartition(0, tuple(sources)), 0)
    assert kept(world, second) == kept(world, first)


def test_a_repeated_glob_takes_part_in_the_balance(world):
    completion = run_partition(world.job, world.partition(edge_logs.log(GOOD)), 0)
    lost = msgspec.structs.replace(completion, counts=replace(completion.counts, repeated=1))
    with pytest.raises(
        InternalError, match=r"7 lines read, but 1 undecodable .* 1 of repeated globs"
    ):
        lost.check()
