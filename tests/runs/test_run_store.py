"""A run in the output store: the plan comes first, the manifest last."""

import json
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest

from spade_spark.blueprint.schema import Column, Table
from spade_spark.errors import InputError, InternalError, UsageError
from spade_spark.plan import InputObject, Plan, assign_to_partitions
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.discovery import find_runs
from spade_spark.runs.manifest import Completion, CorruptObject, QuarantineFile, RowFile
from spade_spark.runs.run_store import RunStore, sha256
from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store
from spade_spark.storage.json_codec import digest, encode
from spade_spark.transform.outcomes import Outcome
from spade_spark.writers.partition_paths import DayFile

NOW = datetime(2017, 11, 3, tzinfo=timezone.utc)
TABLES = [
    Table("login", 3, (Column("t", "time", "f@timestamp@unix"), Column("n", "n", "int"))),
    Table("quiet", 1, (Column("t", "time", "f@timestamp@unix"),)),
]
BIG = 40 * 1024 * 1024
PLAN = Plan(
    run_tag="r",
    created=NOW,
    window=("2017-11-03 10:00:00-0700", "2017-11-03 12:00:00-0700"),
    tables=("login", "quiet"),
    all_tables=False,
    schemas_sha256="abc",
    edge="s3://edge/",
    partitions=assign_to_partitions([InputObject("a", BIG, "e"), InputObject("b", BIG, "f")]),
    settings={},
    version="1",
)


def completion(number, rows=2, **more):
    return Completion(
        plan=digest(PLAN),
        partition=number,
        attempt=f"{number}-x",
        counts=AuditCounts(1, 9, 90, rows, 0, 0, rows, {"login": {Outcome.SUCCESS: rows}}),
        files=(RowFile("login", 3, f"r/login/v3/{number}.gz", rows, 10, "00"),),
        **more,
    )


@pytest.fixture
def run(tmp_path):
    return RunStore(open_store(str(tmp_path), S3Settings()), "r")


def test_a_run_is_started_once_and_then_resumed(run):
    assert run.begin(PLAN, b"[]") == PLAN
    later = replace(PLAN, created=datetime(2018, 1, 1, tzinfo=timezone.utc))
    assert run.begin(later, b"[]") == PLAN


def test_another_plan_under_the_same_run_tag_is_refused_with_the_difference(run):
    run.begin(PLAN, b"[]")
    with pytest.raises(UsageError, match="schemas_sha256 was abc, is def"):
        run.begin(replace(PLAN, schemas_sha256="def"), b"[]")


def test_a_run_has_no_manifest_until_it_is_completed(run):
    run.begin(PLAN, b"[]")
    assert run.completed_run() is None


def test_the_manifest_names_only_what_the_tasks_returned(run):
    run.store.write("r/login/v3/file-of-a-dead-task.gz", b"x")
    completed = run.complete(PLAN, TABLES, [completion(1), completion(0, rows=3)], NOW)
    assert run.completed_run() == completed
    login, quiet = completed.files
    assert [file.url for file in login.files] == [
        f"{run.store.url}r/login/v3/0.gz",
        f"{run.store.url}r/login/v3/1.gz",
    ]
    assert (login.rows, login.columns, login.version) == (5, ("time", "n"), 3)
    assert (quiet.rows, quiet.files) == (0, ())


def test_the_copy_manifest_has_the_format_of_redshift(run):
    run.complete(PLAN, TABLES, [completion(0), completion(1)], NOW)
    assert json.loads(run.store.read("r/_copy/login.json"))["entries"][0] == {
        "url": f"{run.store.url}r/login/v3/0.gz",
        "mandatory": True,
        "meta": {"content_length": 10},
    }


@pytest.mark.parametrize(
    "key",
    ["other/login/v3/0.gz", "r/../other/0.gz", "/r/login/v3/0.gz", "r//0.gz", "r", "r/./0.gz", ""],
)
@pytest.mark.parametrize("kind", ["files", "parquet", "quarantine"])
def test_a_manifest_that_names_an_object_outside_the_run_is_refused(run, kind, key):
    manifest = run.complete(PLAN, TABLES, [completion(0), completion(1)], NOW).manifest
    files = {
        "files": RowFile("login", 3, key, 1, 10, "00"),
        "parquet": DayFile("login", 3, "2017-11-03", key, 1, 10, "00"),
    }
    if kind == "quarantine":
        changed: dict[str, Any] = {"quarantine": (QuarantineFile(key, 1, 10),)}
    else:
        changed = {"tables": (replace(manifest.tables[0], **{kind: (files[kind],)}),)}
    run.write_manifest(msgspec.structs.replace(manifest, **changed))
    with pytest.raises(InputError, match="which is not an object of the run"):
        run.completed_run()


def test_the_manifest_of_another_run_is_refused(run):
    manifest = run.complete(PLAN, TABLES, [completion(0), completion(1)], NOW).manifest
    run.write_manifest(msgspec.structs.replace(manifest, run_tag="other"))
    with pytest.raises(InputError, match="belongs to run tag other"):
        run.completed_run()


@pytest.mark.parametrize("numbers", [[0], [0, 0], [0, 1, 1], [0, 2]])
def test_a_run_with_a_missing_or_repeated_partition_is_not_completed(run, numbers):
    with pytest.raises(InternalError, match="the plan has 2 partitions, but the completed"):
        run.complete(PLAN, TABLES, [completion(number) for number in numbers], NOW)
    assert run.completed_run() is None


def test_a_run_whose_rows_do_not_add_up_is_not_completed(run):
    wrong = msgspec.structs.replace(completion(1), files=())
    with pytest.raises(InternalError, match="4 rows of login counted, but 2 in files"):
        run.complete(PLAN, TABLES, [completion(0), wrong], NOW)
    assert run.completed_run() is None


@pytest.mark.parametrize(("number", "rest"), [(6, "1 more file"), (7, "2 more files")])
def test_only_the_first_five_missing_files_of_a_run_are_named(run, number, rest):
    files = tuple(RowFile("login", 3, f"r/login/v3/{n}.gz", 1, 10, "00") for n in range(number))
    full = msgspec.structs.replace(completion(0, rows=number), files=files)
    empty = msgspec.structs.replace(completion(1, rows=0), files=())
    run.complete(PLAN, TABLES, [full, empty], NOW)
    run.store.write("r/login/v3/0.gz", b"x")
    (discovered,) = find_runs(run.store)
    first, *others, last = discovered.problems
    assert first == "r/login/v3/0.gz has 1 byte, but 10 in the manifest"
    assert others == [f"r/login/v3/{n}.gz is missing" for n in range(1, 5)]
    assert last == f"{rest} missing or of another size"


def test_the_manifest_lists_corrupt_objects(run):
    damaged = CorruptObject("a", "a is cut off")
    completed = run.complete(PLAN, TABLES, [completion(0, damaged=(damaged,)), completion(1)], NOW)
    assert completed.manifest.damaged == (damaged,)


def test_a_completion_record_of_another_plan_is_refused(run):
    run.begin(PLAN, b"[]")
    run.store.write(
        run.paths.completion(0), encode(msgspec.structs.replace(completion(0), plan="other"))
    )
    with pytest.raises(InputError, match=r"_completed/00000.json belongs to another plan"):
        run.completions(PLAN)


def test_completion_records_are_read_back(run):
    run.begin(PLAN, b"[]")
    run.store.write(run.paths.completion(0), encode(completion(0)))
    assert run.completions(PLAN) == [completion(0)]


def without_fields(record, *names):
    """A record as an earlier version wrote it, without these fields."""
    document = json.loads(encode(record))
    for name in names:
        del document[name]
    return json.dumps(document, indent=1).encode()


def test_a_run_of_an_earlier_version_is_resumed(run):
    stored = without_fields(PLAN, "streams", "streams_sha256")
    run.store.write(run.paths.plan, stored)
    done = msgspec.structs.replace(completion(0), plan=sha256(stored))
    run.store.write(run.paths.completion(0), encode(done))
    assert run.begin(PLAN, b"[]") == PLAN
    assert run.completions(PLAN) == [done]


def test_a_run_of_an_earlier_version_keeps_the_checksum_of_its_stored_manifest(run):
    completed = run.complete(PLAN, TABLES, [completion(0), completion(1)], NOW)
    stored = without_fields(completed.manifest, "lookups", "format")
    run.store.write(run.paths.manifest, stored)
    completed = run.completed_run()
    assert completed.checksum == sha256(stored)
    assert {files.checksum for files in completed.files} == {completed.checksum}


def test_a_table_with_fallbacks_in_several_partitions_is_named_once(run):
    partitions = [
        completion(0, fallbacks={"login": "why"}),
        completion(1, fallbacks={"chat": "no columns", "login": "why"}),
    ]
    assert run.complete(PLAN, TABLES, partitions, NOW).manifest.fallbacks == {
        "chat": "no columns",
        "login": "why",
    }
    assert run.completed_run().manifest.fallbacks == {"chat": "no columns", "login": "why"}


def test_records_of_an_earlier_version_have_no_fallbacks(run):
    run.begin(PLAN, b"[]")
    run.store.write(run.paths.completion(0), without_fields(completion(0), "fallbacks"))
    assert run.completions(PLAN) == [completion(0)]
    completed = run.complete(PLAN, TABLES, [completion(0), completion(1)], NOW)
    run.store.write(run.paths.manifest, without_fields(completed.manifest, "fallbacks"))
    assert run.completed_run().manifest == completed.manifest


def test_an_unreadable_manifest_is_named(run):
    run.store.write(run.paths.manifest, b"{")
    with pytest.raises(InputError, match=r"_manifest.json is not a valid manifest"):
        run.completed_run()


def test_the_manifest_contains_the_time_column(run):
    plan = replace(PLAN, settings={"warehouse.time_column": "seen"})
    done = [msgspec.structs.replace(completion(number), plan=digest(plan)) for number in (0, 1)]
    assert run.complete(plan, TABLES, done, NOW).manifest.time_column == "seen"
