"""What no row could be made of is tried again once the bug is mended, and added, once."""

import gzip
import json

import pytest

from spade_spark.cli.main import main
from tests.support import edge_logs
from tests.support.harness import AFTER, BEFORE, World

pytestmark = pytest.mark.usefixtures("engine")

RIGHT = ("2017-11-03 10:00:00", "ann", 1)
MENDED = ("2017-11-03 10:30:00", "bob", 2)


@pytest.fixture
def world(tmp_path, bucket, s3_settings, database, monkeypatch):
    """A replay is done; of its two records one was spoilt on its way, and is mended now.

    The bug that spoilt it stands for one in the decoder: the payload was cut, and the kept line
    is put right as a mended decoder would read it.
    """
    monkeypatch.chdir(tmp_path)
    world = World(tmp_path, bucket, s3_settings, database)
    good = edge_logs.record("login", {"login": "ann", "n": 1}, at="2017-11-03T17:00:00Z")
    spoilt = edge_logs.envelope('{"event": "login"', at="2017-11-03T17:30:00Z")
    world.log("2017-11-03T18:00:00", [good, spoilt])
    assert world.replay("login") == 0
    return world


def mend(world):
    """From now on the decoder reads what it could not."""
    (kept,) = world.report()["manifest"]["quarantine"]
    mended = edge_logs.record("login", {"login": "bob", "n": 2}, at="2017-11-03T17:30:00Z")
    data = edge_logs.log([quarantined(world, kept["key"], mended)])
    world.store.write(f"out/{kept['key']}", data)


def quarantined(world, key, mended):
    (line,) = gzip.decompress(world.store.read(f"out/{key}")).splitlines()
    return json.dumps({**json.loads(line), "raw": mended.decode()}).encode()


def again(world, *words):
    options = ["--conf", str(world.conf), "--rsurl", world.url]
    return main(["replay", "--from-quarantine", world.tag, *words, *options])


def test_rows_are_added_and_none_is_replaced(world):
    assert world.rows("login") == [BEFORE, RIGHT, AFTER]
    mend(world)
    assert again(world) == 0
    assert world.rows("login") == [BEFORE, RIGHT, MENDED, AFTER]
    ledger = world.sql("SELECT rows_deleted, rows_inserted FROM infra.replay ORDER BY ts")
    assert ledger == [(2, 1), (0, 1)]


def test_they_are_added_once(world, capsys):
    mend(world)
    assert again(world) == 0
    assert again(world) == 0
    assert "Table login: skipped, this run was already loaded" in capsys.readouterr().out
    assert world.rows("login") == [BEFORE, RIGHT, MENDED, AFTER]


def test_an_addition_is_undone_like_a_replace(world):
    mend(world)
    again(world)
    tag = f"{world.tag}.quarantine"
    assert main(["undo", tag, "--conf", str(world.conf), "--rsurl", world.url, "--yes"]) == 0
    assert world.rows("login") == [BEFORE, RIGHT, AFTER]


def test_nothing_is_added_to_a_window_that_was_replaced_since(world, capsys):
    mend(world)
    first, world.tag = world.tag, "another"
    assert world.replay("login") == 0
    world.tag = first
    assert again(world) == 1
    assert "was replaced after run tag" in capsys.readouterr().out
    assert world.rows("login") == [BEFORE, RIGHT, AFTER]


def test_what_is_still_broken_adds_nothing_and_stays_in_quarantine(world, capsys):
    assert again(world) == 0
    assert world.rows("login") == [BEFORE, RIGHT, AFTER]
    assert len(list(world.store.list(f"out/{world.tag}.quarantine/_quarantine/"))) == 1


def test_a_run_without_a_quarantine_is_refused(world, capsys):
    world.tag = "clean"
    later = ("2017-11-03 13:00:00", "2017-11-03 13:59:59")
    world.log("2017-11-03T20:30:00", [edge_logs.record("login", {"login": "x"})])
    assert world.replay("login", "--skip-ace-upload", window=later) == 0
    assert again(world) == 2
    assert "clean has no quarantine" in capsys.readouterr().err


def test_window_and_tables_are_those_of_the_run(world, capsys):
    assert main(["replay", "2017-11-03 10:00:00", "--from-quarantine", "x"]) == 2
    assert "leave START, END, tables" in capsys.readouterr().err
