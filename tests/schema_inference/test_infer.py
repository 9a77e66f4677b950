"""Suggestions for the untracked events of a run: reading, limits, errors."""

import gzip
import json
from datetime import datetime, timezone

import pytest

from spade_spark.blueprint.schema import read_tables
from spade_spark.cli.main import main
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.manifest import Manifest, UntrackedFile
from spade_spark.runs.run_store import RunStore
from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store
from spade_spark.transform.transformers.registry import is_transformer
from spade_spark.transform.untracked import untracked_line


class Output:
    """An output store with a run that has untracked events."""

    def __init__(self, folder):
        self.store = open_store(str(folder / "out"), S3Settings())
        self.files: list[UntrackedFile] = []
        self.conf = folder / "conf.toml"
        self.conf.write_text(f'[output]\nbase = "{self.store.url}"\n')

    def add(self, *events):
        text = "".join(untracked_line(name, json.dumps(p)) + "\n" for name, p in events)
        key = f"r/_untracked/{len(self.files)}.gz"
        data = gzip.compress(text.encode())
        self.store.write(key, data)
        self.files.append(UntrackedFile(self.store.url + key, len(events), len(data)))

    def complete(self):
        now = datetime(2017, 11, 3, tzinfo=timezone.utc)
        manifest = Manifest(
            "r", "p", ("a", "b"), now, (), AuditCounts(), untracked=tuple(self.files)
        )
        RunStore(self.store, "r").write_manifest(manifest)

    def suggest(self, *options):
        return main(["suggest", "r", "--conf", str(self.conf), *options])


@pytest.fixture
def output(tmp_path):
    return Output(tmp_path)


@pytest.fixture
def completed(output):
    output.add(*[("play", {"title": "one", "n": n}) for n in range(30)], ("stop", {"a": True}))
    output.add(*[("play", {"title": "Zoë", "n": 2**40})] * 10)
    output.complete()
    return output


def test_blueprints_parser_reads_the_json_output(completed, capsys):
    assert completed.suggest("--json") == 0
    printed = capsys.readouterr().out
    tables = read_tables(printed.encode(), is_transformer).tables
    assert list(tables) == ["play", "stop"]
    columns = {column.outbound: column for column in tables["play"].columns}
    assert columns["n"].transformer == "bigint"
    assert (columns["title"].transformer, columns["title"].options) == ("varchar", "(16)")
    observed = json.loads(printed)[0]["Observed"]
    assert observed["Events"] == 40
    assert observed["Properties"][0] == {
        "Name": "n",
        "Values": 40,
        "Nulls": 0,
        "Types": {"int": 30, "bigint": 10},
        "MaxBytes": 0,
        "Notes": [],
    }


def test_the_report_shows_events_properties_and_columns(completed, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert completed.suggest() == 0
    printed = capsys.readouterr().out
    assert "play: 40 events" in printed
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines()]
    assert ["title", "40", "text", "4", "title varchar(16)", ""] in rows
    assert ["n", "40", "int, bigint", "", "n bigint", ""] in rows
    assert "Read 41 of 41 untracked events of run r" in printed


def test_suggestions_can_be_limited_to_one_event(completed, capsys):
    assert completed.suggest("--event", "stop", "--json") == 0
    assert [entry["EventName"] for entry in json.loads(capsys.readouterr().out)] == ["stop"]


def test_about_the_same_number_of_events_is_read_from_each_file(completed, capsys):
    assert completed.suggest("--limit", "12", "--json") == 0
    (play,) = json.loads(capsys.readouterr().out)
    assert play["Observed"]["Events"] == 12
    assert play["Observed"]["Properties"][0]["Types"] == {"int": 6, "bigint": 6}


def test_an_unknown_event_is_refused(completed, capsys):
    assert completed.suggest("--event", "paly") == 2
    assert "run tag r has no untracked event paly among the 41 read" in capsys.readouterr().err


def test_a_run_without_untracked_events_says_how_to_keep_them(output, capsys):
    output.complete()
    assert output.suggest() == 2
    assert "--all-tables" in capsys.readouterr().err


def test_a_missing_run_is_refused(output, capsys):
    output.store.write("elsewhere", b"")
    assert output.suggest() == 1
    assert "out/r/ has no manifest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (gzip.compress(b'{"event":"a","properties":{}}\n')[:-9], "is corrupt"),
        (b"no gzip", "is corrupt"),
        (gzip.compress(b"no json\n"), "has a line that is not an untracked event"),
        (gzip.compress(b'{"event":"a"}\n'), "has a line that is not an untracked event"),
    ],
    ids=["truncated", "not gzip", "not JSON", "no properties"],  # gzip data contains the time
)
def test_a_corrupt_file_is_named(output, capsys, data, error):
    output.add(("a", {}))
    output.complete()
    output.store.write("r/_untracked/0.gz", data)
    assert output.suggest() == 1
    message = capsys.readouterr().err
    assert "out/r/_untracked/0.gz" in message
    assert error in message
