"""A replay from quarantine adds the rows of fixed lines, once."""

import gzip
import json

import pytest

from spade_spark.cli.main import main
from tests.support import edge_logs
from tests.support.harness import AFTER, BEFORE, ReplayHarness

pytestmark = pytest.mark.usefixtures("engine")

GOOD = ("2017-11-03 10:00:00", "ann", 1)
FIXED = ("2017-11-03 10:30:00", "bob", 2)


@pytest.fixture
def harness(tmp_path, bucket, s3_settings, database, monkeypatch):
    """A replay of two records, one of them with a truncated payload.

    The truncated payload stands for a bug in the decoder: :func:`fix_line` replaces the
    quarantined line, as if a fixed decoder could read it.
    """
    monkeypatch.chdir(tmp_path)
    harness = ReplayHarness(tmp_path, bucket, s3_settings, database)
    good = edge_logs.record("login", {"login": "ann", "n": 1}, at="2017-11-03T17:00:00Z")
    bad = edge_logs.envelope('{"event": "login"', at="2017-11-03T17:30:00Z")
    harness.log("2017-11-03T18:00:00", [good, bad])
    assert harness.replay("login") == 0
    return harness


def fix_line(harness):
    """Replace the quarantined line by one that the decoder can read."""
    (file,) = harness.report()["manifest"]["quarantine"]
    record = edge_logs.record("login", {"login": "bob", "n": 2}, at="2017-11-03T17:30:00Z")
    (line,) = gzip.decompress(harness.store.read(f"out/{file['key']}")).splitlines()
    fixed = json.dumps({**json.loads(line), "raw": record.decode()}).encode()
    harness.store.write(f"out/{file['key']}", edge_logs.log([fixed]))


def replay_quarantine(harness):
    options = ["--conf", str(harness.conf), "--rsurl", harness.url]
    return main(["replay", "--from-quarantine", harness.tag, *options])


def test_the_rows_are_added_and_no_row_is_replaced(harness):
    assert harness.rows("login") == [BEFORE, GOOD, AFTER]
    fix_line(harness)
    assert replay_quarantine(harness) == 0
    assert harness.rows("login") == [BEFORE, GOOD, FIXED, AFTER]
    log = harness.sql("SELECT rows_deleted, rows_inserted FROM infra.replay ORDER BY ts")
    assert log == [(2, 1), (0, 1)]


def test_the_rows_are_added_only_once(harness, capsys):
    fix_line(harness)
    assert replay_quarantine(harness) == 0
    assert replay_quarantine(harness) == 0
    assert "Table login: skipped, this run was already loaded" in capsys.readouterr().out
    assert harness.rows("login") == [BEFORE, GOOD, FIXED, AFTER]


def test_an_addition_can_be_undone(harness):
    fix_line(harness)
    replay_quarantine(harness)
    tag = f"{harness.tag}.quarantine"
    assert main(["undo", tag, "--conf", str(harness.conf), "--rsurl", harness.url, "--yes"]) == 0
    assert harness.rows("login") == [BEFORE, GOOD, AFTER]


def test_nothing_is_added_to_a_window_that_was_replaced_later(harness, capsys):
    fix_line(harness)
    original, harness.tag = harness.tag, "another"
    assert harness.replay("login") == 0
    harness.tag = original
    assert replay_quarantine(harness) == 1
    assert "was replaced after run tag" in capsys.readouterr().out
    assert harness.rows("login") == [BEFORE, GOOD, AFTER]


def test_lines_that_fail_again_go_to_quarantine_again(harness):
    assert replay_quarantine(harness) == 0
    assert harness.rows("login") == [BEFORE, GOOD, AFTER]
    assert len(list(harness.store.list(f"out/{harness.tag}.quarantine/_quarantine/"))) == 1


def test_a_run_without_a_quarantine_is_refused(harness, capsys):
    harness.tag = "clean"
    later = ("2017-11-03 13:00:00", "2017-11-03 13:59:59")
    harness.log("2017-11-03T20:30:00", [edge_logs.record("login", {"login": "x"})])
    assert harness.replay("login", "--skip-ace-upload", window=later) == 0
    assert replay_quarantine(harness) == 2
    assert "clean has no quarantine" in capsys.readouterr().err


def test_a_window_is_refused(harness, capsys):
    assert main(["replay", "2017-11-03 10:00:00", "--from-quarantine", "x"]) == 2
    assert "omit START, END, TABLE" in capsys.readouterr().err
