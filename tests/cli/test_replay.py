"""The command line of a replay: its words, and one line for everything that is refused."""

import subprocess
import sys

import pytest

from spade_spark.cli.main import main

WINDOW = ["2017-11-03 10:00:00", "2017-11-03 12:00:00"]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    """No sandbox's settings, no variables of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("SPADE_CONF", "SPADE_RSURL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            [*WINDOW, "login", "--skip-transform", "--skip-ace-upload", "--runtag", "T"],
            "--skip-transform and --skip-ace-upload together leave nothing to do: "
            "give one of them, or none",
        ),
        (
            [*WINDOW, "login", "--skip-transform"],
            "--skip-transform loads what a run made: say which with --runtag TAG",
        ),
        (
            [*WINDOW, "login"],
            "a load needs a warehouse: set SPADE_RSURL or give --rsurl postgres://…, "
            "or stop after the transform with --skip-ace-upload",
        ),
        (
            [WINDOW[1], WINDOW[0], "login"],
            f"END must be after START: {WINDOW[0]} is not after {WINDOW[1]}",
        ),
        (
            [*WINDOW, "login", "--by-prefix", "--skip-ace-upload"],
            "--by-prefix loads an earlier tool's files: give it with --skip-transform --runtag",
        ),
        (WINDOW, "say what to replace: name tables, or give --all-tables"),
        ([*WINDOW, "login", "--all-tables"], "name tables or give --all-tables, not both"),
        (
            [*WINDOW, "login", "--runtag", "a/b", "--skip-ace-upload"],
            "'a/b' is not a valid run tag: start with a letter or digit, then use letters, digits, "
            "'.', '_' and '-'",
        ),
    ],
)
def test_what_cannot_be_carried_out_is_refused_in_one_line(arguments, line, capsys):
    assert main(["replay", *arguments]) == 2
    assert capsys.readouterr().err == f"spade-spark: {line}\n"


def test_a_missing_setting_is_named(capsys):
    assert main(["replay", *WINDOW, "login", "--skip-ace-upload"]) == 1
    assert capsys.readouterr().err == (
        "spade-spark: output.base is not set: give --conf FILE with it\n"
    )


def test_an_unknown_option_is_refused(capsys):
    assert main(["replay", *WINDOW, "login", "--no-such-option"]) == 2
    assert "No such option" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--help"], ["replay", "--help"]])
def test_help_needs_neither_spark_nor_the_warehouses_driver(arguments):
    program = (
        "import sys; from spade_spark.cli.main import main; main(sys.argv[1:]); "
        "heavy = {'pyspark', 'boto3', 'psycopg2', 'pandas'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: spade-spark" in done.stdout + done.stderr
