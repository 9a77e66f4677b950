"""Which files of a lake are unreferenced, and which must be kept."""

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from spade_spark.cli.main import main
from spade_spark.lake.vacuum import find_unreferenced
from tests.lake.harness import LakeHarness

OLD = ("2017-11-03 10:00:00", "old", "1")
NEW = ("2017-11-03 10:30:00", "new", "2")


@pytest.fixture
def harness(tmp_path):
    harness = LakeHarness(tmp_path)
    harness.published(harness.run("old", OLD))
    harness.published(harness.run("new", NEW))
    return harness


def keys(harness, before):
    return [
        entry.key for table in find_unreferenced(harness.lake, before) for entry in table.objects
    ]


def in_days(days):
    return datetime.now(timezone.utc) + timedelta(days=days)


def make_older(harness, part, days):
    """Set the modification time of files to ``days`` ago."""
    then = (datetime.now(timezone.utc) - timedelta(days=days)).timestamp()
    for entry in harness.lake.list():
        if part in entry.key:
            os.utime(Path(harness.to) / entry.key, (then, then))


def test_replaced_files_are_unreferenced_and_current_ones_are_not(harness):
    (key,) = keys(harness, in_days(1))
    assert "/old-" in key
    assert harness.rows() == [(*NEW[:2], 2)]


def test_recently_replaced_files_are_kept_however_old_they_are(harness):
    """A reader may still use the previous snapshot."""
    make_older(harness, "/old-", 30)
    assert keys(harness, in_days(-7)) == []
    make_older(harness, "/new-", 8)
    assert len(keys(harness, in_days(-7))) == 1


def test_the_files_of_an_emptied_day_are_unreferenced(harness):
    harness.published(harness.run("none"), allow_empty=True)
    assert keys(harness, in_days(-1)) == []
    assert len(keys(harness, in_days(1))) == 2


def test_files_of_other_programs_are_kept(harness):
    harness.lake.write("publications/login/date=2017-11-03/theirs.parquet", b"")
    harness.lake.write("publications/login/date=2017-11-03/theirs/new-00000.parquet", b"")
    harness.lake.write("login/date=2017-11-03/old-0123456789ab/new-00000.parquet", b"")
    assert len(keys(harness, in_days(1))) == 1


def test_files_of_a_running_publication_are_not_removed(harness, capsys):
    assert main(["export", "prune", "--to", harness.to, "--older-than", "0.9", "--yes"]) == 2
    assert "0.9 is not in the range x>=1" in capsys.readouterr().err
    assert len(keys(harness, in_days(1))) == 1


def test_the_command_removes_files_only_with_yes(harness, capsys):
    conf = harness.folder / "conf.toml"
    conf.write_text("")
    options = ["export", "prune", "--to", harness.to, "--older-than", "1", "--conf", str(conf)]
    assert main(options) == 0
    assert "has no unreferenced files" in capsys.readouterr().out
    make_older(harness, "/date=", 2)
    assert main(options) == 0
    assert "login: 1 file, " in capsys.readouterr().out
    assert len(keys(harness, in_days(1))) == 1
    assert main([*options, "--yes"]) == 0
    assert keys(harness, in_days(1)) == []
    assert main(options) == 0
    assert "has no unreferenced files" in capsys.readouterr().out
    assert harness.rows() == [(*NEW[:2], 2)]
